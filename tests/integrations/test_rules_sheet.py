"""Rules as workbooks: out and in again is the same; what people write is read; what cannot be is refused by place."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.rules_book import GUIDE, MOST_BYTES
from integrations.spreadsheets.rules_sheet import kind_of, matrix_csv, origin_of, read_rules_sheet, rules_sheet
from models.decision_table import content_of
from models.form_check import check_form
from models.matrix import Matrix, check_matrix
from models.order_form import OrderForm
from models.recipe import STARTER, RecipeBook
from models.recipe_check import check_recipes
from models.rule_columns import APPROVAL
from models.rule_diff import differences
from models.rule_version import RuleKind, digest_of

MATRIX, RECIPES, FORM = RuleKind.MATRIX, RuleKind.RECIPES, RuleKind.FORM
BODIES: dict[RuleKind, dict[str, Any]] = {
    kind: json.loads((STARTER.parent / f"{kind.value}.json").read_text(encoding="utf-8")) for kind in RuleKind
}
CHECKS: dict[RuleKind, Callable[[Any], list[Any]]] = {MATRIX: check_matrix, RECIPES: check_recipes, FORM: check_form}
PLAIN = {"special": False, "no_recipe": False, "new_customer": False, "province": "广东省"}


def edited(kind: RuleKind, change: Callable[[Workbook], object], base: dict[str, Any] | None = None) -> bytes:
    """The file of the starter rules after somebody has worked on it in a spreadsheet program."""
    book = load_workbook(io.BytesIO(rules_sheet(kind, 1, base or BODIES[kind])))
    change(book)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def read(kind: RuleKind, change: Callable[[Workbook], object]) -> dict[str, Any]:
    return read_rules_sheet(edited(kind, change), kind, BODIES[kind])


def sheet_of(*rows: list[Any], name: str = "审批矩阵") -> bytes:
    book = Workbook()
    assert book.active is not None
    book.active.title = name
    for row in rows:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


# out and in again


@pytest.mark.parametrize("kind", RuleKind)
def test_what_goes_out_comes_back_the_same_and_says_where_it_is_from(kind: RuleKind) -> None:
    data = rules_sheet(kind, 7, BODIES[kind])

    assert read_rules_sheet(data, kind, BODIES[kind]) == BODIES[kind]
    origin = origin_of(data)
    assert origin is not None and kind_of(data) is kind
    assert (origin.kind, origin.number, origin.digest) == (kind, 7, digest_of(BODIES[kind]))
    assert CHECKS[kind](BODIES[kind]) == []


def test_a_file_that_a_spreadsheet_program_has_saved_again_comes_back_the_same() -> None:
    for kind in RuleKind:
        assert digest_of(read(kind, lambda book: None)) == digest_of(BODIES[kind])


def test_the_matrix_goes_out_and_comes_back_as_csv() -> None:
    data = matrix_csv(BODIES[MATRIX])

    assert data.decode("utf-8-sig").splitlines()[:2] == [
        "编号,金额(元),特殊食材,没有配方,谁审核,理由,时限(分钟),备注",
        'amount,> 500,,,营养师,"金额 {金额(元)} 元,超过 500 元",22,',
    ]
    for encoded in (data, data.decode("utf-8-sig").encode("gb18030"), data.replace(b"\r\n", b"\n")):
        assert read_rules_sheet(encoded, MATRIX, BODIES[MATRIX]) == BODIES[MATRIX]


PIECES = [
    '"',
    "'",
    "`",
    "a",
    "含 ",
    "、",
    ",",
    "$",
    "{",
    "}",
    "> ",
    "5",
    "[",
    "..",
    "]",
    "true",
    " or ",
    "=",
    "_x0041_",
]
CELLS = st.one_of(st.text(max_size=20), st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
RULES = st.lists(st.fixed_dictionaries(dict.fromkeys(("amount", "special", "role", "reason", "sla", "own"), CELLS)))


def with_rules(rules: list[dict[str, str]], named: bool) -> dict[str, Any]:
    """The starter matrix with a column of conditions of its own, and with these cells."""
    body = copy.deepcopy(BODIES[MATRIX])
    content = body["approval"]["nodes"][1]["content"]
    content["inputs"].append({"id": "own", "name": "自己的条件"})
    names = [{"_id": f"r{at}", "_description": rule["reason"]} if named else {} for at, rule in enumerate(rules)]
    content["rules"] = [{**name, **rule} for name, rule in zip(names, rules, strict=True)]
    return body


@settings(max_examples=30, deadline=None)
@given(RULES)
def test_whatever_is_in_its_cells_a_table_comes_back_to_the_letter(rules: list[dict[str, str]]) -> None:
    body = with_rules(rules or [dict.fromkeys(("amount", "special", "role", "reason", "sla", "own"), "x")], True)

    assert digest_of(read_rules_sheet(rules_sheet(MATRIX, 1, body), MATRIX, body)) == digest_of(body)
    assert digest_of(read_rules_sheet(matrix_csv(body), MATRIX, body)) == digest_of(body)


ZEN = {
    "amount": ["> 500", ">500", "[1..2]", "1, 2", "", "> 5 and < 6", "amount > special"],
    "special": ["true", "false", "", "not(true)"],
    "role": ['"nutritionist"', '"finance"', 'amount > 5 ? "finance" : "直通"'],
    "reason": ['"大额"', "`金额 ${amount} 元`", "why_no_recipe", "'带\"引号\"'", "", "`${why_no_recipe}`"],
    "sla": ["22", "5", "", "amount / 10"],
    "own": ["amount > 5", ""],
}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.fixed_dictionaries({name: st.sampled_from(cells) for name, cells in ZEN.items()}), min_size=1))
def test_a_table_comes_to_another_installation_cell_by_cell(rules: list[dict[str, str]]) -> None:
    body, other = with_rules(rules, True), with_rules([], True)

    read_there = read_rules_sheet(rules_sheet(MATRIX, 1, body), MATRIX, other)

    assert content_of(read_there["approval"]).rows == content_of(body["approval"]).rows


# what people write


def test_a_changed_threshold_a_new_row_and_a_new_column_are_read() -> None:
    def change(book: Workbook) -> None:
        page = book["审批矩阵"]
        page["B2"] = "> 800"
        page.insert_cols(5, 2)
        page["E1"], page["F1"] = "省份", "新客户"
        page.append([None, 300, None, None, "浙江省、江苏省", True, "客服主管", "新客户,{省份}", 15, "试行到月底"])

    body = read(MATRIX, change)

    assert check_matrix(body) == []
    matrix = Matrix(body)
    assert matrix.route({**PLAIN, "amount": 700}) == ()
    (asked,) = matrix.route({**PLAIN, "amount": 300, "province": "浙江省", "new_customer": True})
    assert (asked.role, asked.reasons, asked.sla_minutes) == ("customer_service_lead", ("新客户,浙江省",), 15)
    said = differences(MATRIX, BODIES[MATRIX], body)
    assert [line.partition(":")[0].split(" ")[0] for line in said[:2]] == ["新增审批矩阵的行", "改动审批矩阵的行"]
    assert said[2:] == ["新列「省份」", "新列「新客户」"]


def test_a_row_and_a_column_that_are_deleted_are_gone() -> None:
    def change(book: Workbook) -> None:
        book["审批矩阵"].delete_rows(2)
        book["审批矩阵"].delete_cols(2)

    content = content_of(read(MATRIX, change)["approval"])

    assert [row.id for row in content.rows] == ["special", "no-recipe"]
    assert [column.field for column in content.inputs] == ["special", "no_recipe"]


def test_a_table_that_somebody_wrote_from_nothing_is_read() -> None:
    data = sheet_of(["谁审核", "理由", "amount"], ["财务", "很大", "> 5000"], name="Sheet1")

    body = read_rules_sheet(data, MATRIX, BODIES[MATRIX])

    assert check_matrix(body) == []
    assert [asked.role for asked in Matrix(body).route({"amount": 5001})] == ["finance"]
    assert origin_of(data) is None


def test_a_new_ingredient_and_a_recipe_of_it_are_read() -> None:
    def change(book: Workbook) -> None:
        book["食材"].append(["ING-RABBIT", "兔肉", None, 42.5])
        page = book["配方"]
        header = [cell.value for cell in page[1]]
        page.cell(1, len(header) + 1, "兔肉")
        row: dict[Any, Any] = {
            "配方编码": "CAT-RABBIT-WET", "名称": "兔肉猫粮", "物种": "猫", "主食": "湿粮", "千卡/kg": 900,
            "粗蛋白(%)": 11, "粗脂肪(%)": 4.5, "粗纤维(%)": 1, "水分(%)": 78, "粗灰分(%)": 2,
            "猫用预混料(含牛磺酸)(克/kg)": 40, "兔肉": 960,
        }  # fmt: skip
        page.append([row.get(title) for title in [*header, "兔肉"]])
        book["选配方"].append([None, "猫", "湿粮", "CAT-RABBIT-WET", 1])

    body = read(RECIPES, change)

    assert check_recipes(body) == []
    book = RecipeBook(body)
    assert book["CAT-RABBIT-WET"].grams_per_kg == {"ING-PREMIX-CAT": 40, "ING-RABBIT": 960}
    assert book["CAT-RABBIT-WET"].nutrients["fat"] == 4.5
    assert book.prices["ING-RABBIT"] == 4250
    assert book.candidates({"species": "cat", "staple": "wet"})[0].code == "CAT-RABBIT-WET"


def test_an_empty_cell_of_allergens_is_nothing_said_and_none_is_written_as_such() -> None:
    def change(book: Workbook) -> None:
        book["食材"].append(["ING-MILK", "羊奶", None, 30])
        book["食材"].append(["ING-MILK-2", "羊奶", "无", 30])

    body = read(RECIPES, change)

    assert [one.get("allergens") for one in body["ingredients"][-2:]] == [None, []]
    assert {problem.where for problem in check_recipes(body)} == {"食材 ING-MILK"}


def test_changed_grams_and_a_deleted_recipe_are_read_and_the_rest_stays() -> None:
    def change(book: Workbook) -> None:
        page = book["配方"]
        header = [cell.value for cell in page[1]]
        page.cell(2, header.index("鸡肉(克/kg)") + 1, 500)
        page.cell(2, header.index("大米(克/kg)") + 1, "300")
        page.delete_rows(page.max_row)

    body = read(RECIPES, change)

    assert [line.partition(":")[0] for line in differences(RECIPES, BODIES[RECIPES], body)] == [
        f"去掉配方 {BODIES[RECIPES]['recipes'][-1]['code']}", "改动配方 DOG-CHICKEN-DRY",
    ]  # fmt: skip
    assert body["recipes"][1:] == BODIES[RECIPES]["recipes"][1:-1]


def test_a_new_question_and_a_changed_one_are_read() -> None:
    def change(book: Workbook) -> None:
        page = book["表单"]
        header = [cell.value for cell in page[1]]
        page.cell(5, header.index("最大") + 1, 90)
        row: dict[Any, Any] = {
            "字段名": "litter", "标题": "猫砂", "类型": "单选", "必填": "是", "选项": "tofu=豆腐/豆腐砂\nclay=膨润土",
        }  # fmt: skip
        page.append([row.get(title) for title in header])

    body = read(FORM, change)

    assert check_form(body) == []
    assert differences(FORM, BODIES[FORM], body) == [
        "新增字段 litter:猫砂(单选,必填)",
        "改动字段 weight_kg:最大 120 → 90",
    ]
    assert OrderForm(body).check({"猫砂": "豆腐砂"}).values["litter"] == "tofu"
    assert body["schema"]["allOf"] == BODIES[FORM]["schema"]["allOf"]


# what cannot be read


def put(sheet: str, cell: str, value: Any) -> Callable[[Workbook], object]:
    return lambda book: book[sheet].__setitem__(cell, value)


@pytest.mark.parametrize(
    ("kind", "change", "why"),
    [
        (MATRIX, put("审批矩阵", "B2", "=SUM(A1:A9)"), "表「审批矩阵」第 2 行第 B 列是公式:请改成文字或数"),
        (MATRIX, put("审批矩阵", "B2", "#REF!"), "表「审批矩阵」第 2 行第 B 列是出错的值"),
        (MATRIX, put("审批矩阵", "B2", date(2026, 1, 5)), "表「审批矩阵」第 2 行第 B 列是日期"),
        (MATRIX, put("审批矩阵", "B2", "贵"), "表「审批矩阵」第 2 行「金额(元)」:「贵」读不懂:写一个数、> 500"),
        (MATRIX, put("审批矩阵", "E3", "老板"), "表「审批矩阵」第 3 行「谁审核」:没有「老板」:可以写 营养师"),
        (MATRIX, put("审批矩阵", "C1", "价格"), "表「审批矩阵」第 1 行:不认识列「价格」:可以用 编号、金额(元)"),
        (MATRIX, put("审批矩阵", "C1", "金额(元)"), "表「审批矩阵」第 1 行:有 2 列都叫「金额(元)」"),
        (MATRIX, put("审批矩阵", "C1", "amount"), "列「amount」和另一列是同一项"),
        (MATRIX, put("审批矩阵", "C1", None), "表「审批矩阵」第 3 行:第 C 列有内容,表头却是空的"),
        (MATRIX, put("审批矩阵", "A3", "amount"), "第 2 行「编号」:编号「amount」用了不止一次"),
        (MATRIX, lambda b: b["审批矩阵"].delete_cols(5), "表「审批矩阵」:缺少列「谁审核」"),
        (MATRIX, lambda b: b["审批矩阵"].delete_rows(2, 9), "表「审批矩阵」:没有一行内容"),
        (MATRIX, lambda b: b["审批矩阵"].delete_rows(1, 9), "表「审批矩阵」是空的"),
        (MATRIX, lambda b: b["审批矩阵"].merge_cells("B3:B4"), "表「审批矩阵」的 B3:B4 是合并单元格"),
        (MATRIX, lambda b: b["审批矩阵"].__setitem__("B90000", "x"), "表「审批矩阵」超过 2000 行(第 90000 行还有内容)"),
        (MATRIX, lambda b: b["审批矩阵"].cell(2, 800, "x"), "表「审批矩阵」的 ADT2 太靠右"),
        (RECIPES, lambda b: b.remove(b["食材"]), "缺少工作表「食材」:配方的文件要有 配方、食材、选配方"),
        (RECIPES, put("配方", "C2", "龙"), "表「配方」第 2 行「物种」:没有「龙」,可以写 犬、猫"),
        (RECIPES, put("配方", "E2", "也许"), "表「配方」第 2 行「特殊配方」:「也许」应写 是 或 否"),
        (RECIPES, put("配方", "A3", "DOG-CHICKEN-DRY"), "第 3 行「配方编码」:「DOG-CHICKEN-DRY」用了不止一次"),
        (RECIPES, put("配方", "Q1", "龙肉"), "第 1 行:不认识列「龙肉」:食材的列用它在「食材」表里的"),
        (RECIPES, put("配方", "Q2", "许多"), "「许多」应为一个数"),
        (RECIPES, put("配方", "Q2", 1.5), "「1.5」应为整数"),
        (RECIPES, put("食材", "D2", "贵"), "表「食材」第 2 行「价格(元/kg)」:「贵」应为价格,如 16.00"),
        (RECIPES, put("食材", "B2", None), "表「食材」第 2 行「名称」:没有填"),
        (RECIPES, put("选配方", "B2", "=1+1"), "表「选配方」第 2 行第 B 列是公式"),
        (FORM, put("表单", "C2", "图片"), "第 2 行「类型」:「图片」应是 文字、数、是否、单选、多选、日期 之一"),
        (FORM, put("表单", "D2", "也许"), "表「表单」第 2 行「必填」:「也许」应写 是 或 否"),
        (FORM, put("表单", "B2", None), "表「表单」第 2 行「标题」:没有填"),
        (FORM, put("表单", "G2", None), "表「表单」第 2 行「选项」:单选和多选要写选项"),
        (FORM, put("表单", "I5", "很大"), "表「表单」第 5 行「最大」:「很大」应为一个数"),
        (FORM, put("表单", "L1", "备注"), "表「表单」第 1 行:不认识列「备注」"),
        (FORM, lambda b: b["表单"].delete_cols(1), "表「表单」:缺少列「字段名」"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_by_sheet_row_and_column(
    kind: RuleKind, change: Callable[[Workbook], object], why: str
) -> None:
    with pytest.raises(SheetWrong) as wrong:
        read(kind, change)
    assert why in str(wrong.value)


def repacked(data: bytes, **parts: bytes) -> bytes:
    """The file with parts replaced or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in parts:
                new.writestr(name, old.read(name))
        for name, content in parts.items():
            new.writestr(name, content)
    return out.getvalue()


GOOD = rules_sheet(MATRIX, 1, BODIES[MATRIX])
SHEET = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "文件是空的"),
        (b"PK\x03\x04 not a zip", "损坏"),
        (b"\xd0\xcf\x11\xe0" + b"x" * 600, "旧版 Excel"),
        (b"\x00\x01\x02\xff" * 50, "不是 CSV 也不是 XLSX"),
        (b"PK" + b"x" * MOST_BYTES, "超过 5 MB"),
        (repacked(GOOD, **{"xl/vbaProject.bin": b"macro"}), "带有宏"),
        (repacked(GOOD, **{SHEET: b" " * (60 * 1024 * 1024)}), "展开后太大"),
        (repacked(GOOD, **{SHEET: b"<!DOCTYPE x [<!ENTITY a 'b'>]><worksheet/>"}), "不该有的内容"),
        (repacked(GOOD, **{SHEET: b"<worksheet><sheetData><row"}), "打不开"),
        ("编号,谁审核\n".encode() + b"".join(f"r{n},财务\n".encode() for n in range(2001)), "超过 2000 行"),
        ("编号,谁审核\n".encode() + b"".join(b"r,x\n" for _ in range(100_000)), "行"),
        (sheet_of(["姓名", "电话"], ["王敏", "1"]), "不认识列「姓名」"),
    ],
    ids=["empty", "no zip", "old", "binary", "large", "macro", "bomb", "entities", "cut", "rows", "many rows", "other"],
)  # fmt: skip
def test_hostile_files_are_refused_in_words(data: bytes, why: str) -> None:
    with pytest.raises(SheetWrong, match=why):
        read_rules_sheet(data, MATRIX, BODIES[MATRIX])


def test_rules_with_problems_are_not_written_as_a_sheet() -> None:
    for kind in RuleKind:
        with pytest.raises(SheetWrong, match=r"这一版有问题.*请导出 JSON"):
            rules_sheet(kind, 1, {"approval": {}, "recipes": [{}], "ingredients": [{}], "schema": {"properties": []}})


def test_text_that_begins_like_a_formula_is_written_as_text() -> None:
    body = with_rules([{"amount": ">500", "role": '"finance"', "reason": '"大额"', "own": "amount > 5"}], True)

    page = load_workbook(io.BytesIO(rules_sheet(MATRIX, 1, body)))[APPROVAL.name]

    assert (page["B2"].value, page["B2"].data_type, page["B2"].quotePrefix) == ("=>500", "s", True)
    assert b"'=>500" in matrix_csv(body)


def test_every_file_explains_its_columns() -> None:
    for kind, words in ((MATRIX, "地址风险"), (RECIPES, "合计 1000"), (FORM, "字段之间的条件不在表里")):
        guide = load_workbook(io.BytesIO(rules_sheet(kind, 1, BODIES[kind])))[GUIDE]
        assert any(words in str(cell.value) for row in guide for cell in row)
