"""Files as people send them: every encoding and layout says the same, and what cannot be used is refused in words."""

from __future__ import annotations

import zipfile
from datetime import datetime
from pathlib import Path

import pytest

from integrations.spreadsheets import SheetWrong, sheet_book, sheet_file
from integrations.spreadsheets.order_sheet import EncodingUnclear, open_sheet
from tests.integrations.order_sheet_files import ORDER, book, csv_of, good, mapped, staged, written

CSV = "订单号,商品编码,数量,收件人\nA-1,货品甲,2,赵玉珍\nA-2,货品乙,1,钱多多\n"


@pytest.mark.parametrize(
    ("data", "encoding", "delimiter"),
    [
        (CSV.encode(), "utf-8-sig", ","),
        (CSV.encode("utf-8-sig"), "utf-8-sig", ","),
        (CSV.encode("utf-16"), "utf-16", ","),
        (CSV.encode("gb18030"), "gb18030", ","),
        (CSV.replace(",", ";").encode("gbk"), "gb18030", ";"),
        (CSV.replace(",", "\t").encode(), "utf-8-sig", "\t"),
        (CSV.replace("\n", "\r\n").encode(), "utf-8-sig", ","),
        (CSV.replace("\n", "\r").encode(), "utf-8-sig", ","),
        (("sep=;\n" + CSV.replace(",", ";")).encode(), "utf-8-sig", ";"),
        (("11月订单,,,\n导出时间 2026-11-01,,,\n\n" + CSV).encode(), "utf-8-sig", ","),
    ],
    ids=range(10),
)
def test_every_encoding_and_delimiter_says_the_same(tmp_path: Path, data: bytes, encoding: str, delimiter: str) -> None:
    sheet = open_sheet(written(tmp_path / "a.csv", data))

    assert (sheet.encoding, sheet.delimiter) == (encoding, delimiter)
    assert sheet.headers == ("订单号", "商品编码", "数量", "收件人")
    assert sheet.sample() == [["A-1", "货品甲", "2", "赵玉珍"], ["A-2", "货品乙", "1", "钱多多"]]
    assert sheet.said[0].startswith("编码:") and sheet.said[1].startswith("分隔符:")


def test_row_numbers_are_those_that_spreadsheet_programs_show(tmp_path: Path) -> None:
    data = '标题\n\n订单号,SKU,备注\nA-1,X,"两\n行"\n\nA-2,Y,\n'

    sheet = open_sheet(written(tmp_path / "a.csv", data))

    assert sheet.header_row == 3
    assert [(number, cells[0]) for number, cells in sheet.rows()] == [(4, "A-1"), (6, "A-2")]


def test_an_encoding_that_cannot_be_told_is_asked_for_with_samples(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "訂單號,數量,收件人\nA-1,2,趙玉珍國灣學\n".encode("big5"))

    with pytest.raises(EncodingUnclear, match="请选一种") as unclear:
        open_sheet(path)

    assert unclear.value.samples["big5"].startswith("訂單號,數量")
    assert open_sheet(path, encoding="big5").headers == ("訂單號", "數量", "收件人")
    with pytest.raises(SheetWrong, match="不是 UTF-8"):
        open_sheet(path, encoding="utf-8-sig")


def test_one_broken_byte_in_a_utf8_file_is_not_taken_for_another_encoding(tmp_path: Path) -> None:
    with pytest.raises(EncodingUnclear):
        open_sheet(written(tmp_path / "a.csv", (CSV * 20).encode().replace("乙".encode(), b"\xe4\xb9", 1)))


def test_a_header_of_two_rows_with_merged_cells_is_one(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        ["订单", None, "买家", None, "收货人", None, None],
        ["订单号", "下单时间", "姓名", "电话", "姓名", "电话", "地址"],
        ["A-1", datetime(2026, 11, 1, 12, 30), "王", "1", "赵", "2", "x"],
    ]

    sheet = open_sheet(book(tmp_path / "a.xlsx", *rows))

    assert sheet.headers == ("订单号", "下单时间", "买家姓名", "买家电话", "收货人姓名", "收货人电话", "地址")
    assert sheet.sample() == [["A-1", "2026-11-01 12:30:00", "王", "1", "赵", "2", "x"]]


def test_a_header_whose_group_has_its_names_below_is_one(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        ["订单号", "下单时间", "SKU", "收货信息", None, None],
        [None, None, None, "姓名", "电话", "地址"],
        ["A-1", "2026-11-01", "X", "赵", "2", "y"],
    ]

    sheet = open_sheet(book(tmp_path / "a.xlsx", *rows))

    assert sheet.headers == ("订单号", "下单时间", "SKU", "姓名", "电话", "地址")
    assert (sheet.header_row, sheet.titles) == (2, sheet.headers)


def test_columns_without_or_with_the_same_name_are_told_apart(tmp_path: Path) -> None:
    sheet = open_sheet(written(tmp_path / "a.csv", "订单号,备注,,备注,SKU\nA,1,2,3,4\n"))

    assert sheet.headers == ("订单号", "备注", "(第 C 列)", "备注#2", "SKU")
    assert sheet.titles == ("订单号", "备注", "", "备注", "SKU")


def test_the_header_is_where_a_person_says(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "甲,乙\n丙,丁\n1,2\n")

    assert open_sheet(path).headers == ("甲", "乙")
    assert open_sheet(path, header_row=2).headers == ("丙", "丁")
    with pytest.raises(SheetWrong, match="第 9 行没有内容"):
        open_sheet(path, header_row=9)


def test_a_named_sheet_is_read_and_a_hidden_one_is_none(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", ["说明", "填写"], 数据=[["订单号", "SKU"], ["A-1", "X"]])

    assert open_sheet(path).sheets == ("Sheet", "数据")
    assert open_sheet(path, sheet="数据").sample() == [["A-1", "X"]]
    with pytest.raises(SheetWrong, match="没有工作表「别的」"):
        open_sheet(path, sheet="别的")


def test_a_workbook_is_known_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", ["订单号", "SKU"], ["A-1", "X"]).rename(tmp_path / "upload-7")

    assert open_sheet(path).sample() == [["A-1", "X"]]


def test_cells_of_a_workbook_are_read_as_people_see_them(tmp_path: Path) -> None:
    values = ["订单号", 4781234567890123456, 4.78e18, 2.0, 12.5, True, datetime(2026, 11, 1), "=1+1"]
    path = book(tmp_path / "a.xlsx", ["订单号", "a", "b", "c", "d", "e", "f", "g"], values)

    # numbers beyond 15 digits show that they are not what was typed; a formula that was never worked out is blank
    assert open_sheet(path).sample() == [
        ["订单号", "4.781234567890124e+18", "4.78e+18", "2", "12.5", "是", "2026-11-01", ""]
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "文件是空的"),
        (b"\n\n\n", "没有内容"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "旧版 Excel"),
        (b"PK\x03\x04 not really", "已损坏或加了密码"),
        (b"<html><table><tr><td>1</td></tr></table></html>", "网页"),
        (b"%PDF-1.7\n" + b"\0\x01" * 5000, "NUL"),
        ("订单号,SKU\n".encode("utf-16-le") * 9, "NUL"),
        (b"A-1,13800138000,2026-11-01\nA-2,13800138001,2026-11-01\n", "没有找到表头"),
        ("一列而已\n1\n2\n".encode(), "没有找到表头"),
        ("订单号,SKU\nA,x".encode() + b"y" * 16 * 1024 * 1024, "超过 1 MB"),
        ("订单号,S\0KU,数量\nA,1,2\n".encode(), "NUL"),
    ],
    ids=range(11),
)
def test_what_cannot_be_used_is_refused_with_a_sentence(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(SheetWrong, match=says):
        open_sheet(written(tmp_path / "a.csv", data))


@pytest.mark.parametrize(
    "rest",
    [
        'A-3,"货品,1,孙\n' + "A-4,货品丁,1,李四\n" * 10_000,
        'A-3,"货品,1,孙\nA-4,货品丁,1,李四\n',
        'A-3,"货品,1,孙\nA-4,"货品丁",1,李四\n',
    ],
    ids=["large", "to the end", "to the next quote"],
)
def test_a_quote_that_is_not_closed_never_swallows_rows(tmp_path: Path, rest: str) -> None:
    sheet = open_sheet(written(tmp_path / "a.csv", CSV + rest))

    with pytest.raises(SheetWrong, match="第 4 行读不懂:引号没有成对"):
        list(sheet.rows())


def test_a_sheet_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SheetWrong, match="表头下面没有内容"):
        staged(written(tmp_path / "a.csv", ",".join(ORDER) + "\n"), mapped())


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = book(tmp_path / "a.xlsx", ["订单号", "SKU"], ["A", "X"])
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as parts,
        parts.open("xl/bomb.bin", "w", force_zip64=True) as bomb,
    ):
        for _ in range(64):
            bomb.write(bytes(1024 * 1024))

    monkeypatch.setattr(sheet_book, "MOST_UNPACKED", 32 * 1024 * 1024)

    with pytest.raises(SheetWrong, match="展开后太大"):
        open_sheet(path)
    assert path.stat().st_size < 1024 * 1024


def test_shared_texts_that_would_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = book(tmp_path / "a.xlsx", ["订单号", "SKU"], ["A", "X"])
    with zipfile.ZipFile(path, "a") as parts:
        parts.writestr("xl/sharedStrings.xml", "<sst>" + " " * 30_000 + "</sst>")
    monkeypatch.setattr(sheet_book, "MOST_SHARED_TEXTS", 20_000)

    with pytest.raises(SheetWrong, match="展开后太大"):
        open_sheet(path)


def test_entities_in_a_workbook_are_refused(tmp_path: Path) -> None:
    path, evil = book(tmp_path / "a.xlsx", ["订单号", "SKU"], ["A", "X"]), tmp_path / "evil.xlsx"
    with zipfile.ZipFile(path) as parts, zipfile.ZipFile(evil, "w") as spoiled:
        for name in parts.namelist():
            body = parts.read(name)
            if name.endswith("sheet1.xml"):
                body = b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + body
            spoiled.writestr(name, body)

    with pytest.raises(SheetWrong, match="不该有的内容"):
        open_sheet(evil)


def test_files_and_sheets_that_are_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = csv_of(tmp_path / "a.csv", *({"订单号": f"A-{number}"} for number in range(9)))
    wide = written(tmp_path / "b.csv", ",".join(f"列{number}" for number in range(301)) + "\n1,2\n")
    monkeypatch.setattr(sheet_file, "MOST_ROWS", 5)

    with pytest.raises(SheetWrong, match="超过 5 行"):
        staged(path, mapped())
    with pytest.raises(SheetWrong, match="超过 300 列"):
        open_sheet(wide)
    monkeypatch.setattr(sheet_file, "MOST_BYTES", 100)
    with pytest.raises(SheetWrong, match="文件超过 0 MB"):
        open_sheet(path)


def test_a_nul_in_one_cell_sets_only_that_order_aside(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", {"订单号": "A-1"}, {"订单号": "A-2", "收件人": "赵\0玉"}, {"订单号": "A-3"})

    first, second, third = staged(path, mapped())

    assert [good(first).channel_order_id, good(third).channel_order_id] == ["A-1", "A-3"]
    assert "第 3 行「收件人」" in second.reason and "NUL" in second.reason  # type: ignore[union-attr]
