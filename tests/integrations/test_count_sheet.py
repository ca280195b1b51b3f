"""Sheets of counted goods: read in every shape people send, bounded, and never worked out."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from openpyxl import Workbook

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.cells import MOST_BYTES, MOST_ROWS
from integrations.spreadsheets.count_sheet import CountSheet, read_count_sheet
from integrations.spreadsheets.safe_csv import to_csv

CSV = "SKU,实盘数量\nA-1,5\nB-2,0\n"


def xlsx(*rows: list[Any], **sheets: list[list[Any]]) -> bytes:
    """An XLSX file with these rows in its first sheet, and further sheets by name."""
    book = Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    for name, more in sheets.items():
        sheet = book.create_sheet(name)
        for row in more:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def counts(sheet: CountSheet) -> dict[str, int]:
    return {row.sku: row.counted for row in sheet.rows}


@pytest.mark.parametrize(
    "data",
    [
        CSV.encode(),
        CSV.encode("utf-8-sig"),
        CSV.encode("gb18030"),
        CSV.encode("utf-16"),
        CSV.replace(",", ";").encode(),
        CSV.replace(",", "\t").encode("gb18030"),
        CSV.replace("\n", "\r\n").encode(),
        b"Counted,sku\n5,A-1\n0,B-2\n",
        "货号,商品,数量\nA-1,罐头,5\nB-2,,0\n".encode(),
        "商品编码,账面数量,实盘数量(件)*\nA-1,9,5\nB-2,9,0\n".encode(),
        b"Item Code , Quantity\nA-1,5\nB-2,0\n",
        "成都仓月末盘点\n2026-11-30,,\nSKU,名称,数量\nA-1,a,5\n\nB-2,b,0\n".encode(),
        '"SKU","数量"\n"A-1"," 5 "\n"B-2","0.00"\n'.encode(),
        xlsx(["SKU", "数量"], ["A-1", 5], ["B-2", 0.0]),
        xlsx(["盘点表"], [None], ["货号", "名称", "实盘数量", "数量"], ["A-1", "罐头", "5", 77], ["B-2", None, 0, 88]),
        xlsx(["说明"], 数据=[["SKU", "counted"], ["A-1", 5], ["B-2", 0]]),
    ],
    ids=range(16),
)
def test_every_shape_that_people_send_says_the_same(data: bytes) -> None:
    sheet = read_count_sheet(data)

    assert counts(sheet) == {"A-1": 5, "B-2": 0}
    assert sheet.bad == []
    assert len(sheet.sha256) == 64


def test_bad_rows_are_set_aside_with_their_number_and_reason() -> None:
    rows = [
        "SKU,数量",
        "A,1",
        ",2",
        "C,",
        "D,-1",
        "E,1.5",
        "F,十",
        "G,=1+1",
        f"{'H' * 65},1",
        "I,12345678901234567890123",
        "A B,7",
    ]

    sheet = read_count_sheet("\n".join(rows).encode())

    assert counts(sheet) == {"A": 1, "A B": 7}
    assert [bad.row for bad in sheet.bad] == [3, 4, 5, 6, 7, 8, 9, 10]
    said = {bad.row: bad.why for bad in sheet.bad}
    assert "没有填商品编码" in said[3] and "没有填数量" in said[4] and "过长" in said[9]
    assert all("不小于 0 的整数" in said[row] for row in (5, 6, 7, 8, 10))


def test_numbers_with_thousands_and_of_full_width_are_read() -> None:
    assert counts(read_count_sheet('SKU,数量\nA,"1,200"\nB,12\nC,3.0'.encode())) == {"A": 1200, "B": 12, "C": 3}


def test_a_sku_on_several_rows_is_none_of_them() -> None:
    sheet = read_count_sheet("SKU,数量\nA,1\nB,2\nA,3\nA,1\n".encode())

    assert counts(sheet) == {"B": 2}
    assert [(bad.row, bad.sku) for bad in sheet.bad] == [(2, "A"), (4, "A"), (5, "A")]
    assert all("第 2、4、5 行" in bad.why for bad in sheet.bad)


def test_formulas_are_never_worked_out() -> None:
    # a formula that no program has worked out yet has no value: the row is set aside
    sheet = read_count_sheet(xlsx(["SKU", "数量"], ["A", "=2+3"], ["B", 4]))

    assert counts(sheet) == {"B": 4}
    assert [(bad.row, bad.sku) for bad in sheet.bad] == [(2, "A")]


def test_codes_that_excel_took_for_numbers_are_read_as_people_see_them() -> None:
    sheet = read_count_sheet(xlsx(["SKU", "数量"], [6901234567892, 3], [1001.0, True]))

    assert counts(sheet) == {"6901234567892": 3}
    assert sheet.bad[0].sku == "1001"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "是空的"),
        (b"x" * (MOST_BYTES + 1), "超过 5 MB"),
        (b"\xd0\xcf\x11\xe0rest", ".xls"),
        (b"PK\x03\x04 not a zip", "已损坏"),
        (b"\x00\x01\x02\xff" * 9, "不是 CSV"),
        (b"name,price\na,1\n", "没有找到表头"),
        ("SKU,数量,数量\nA,1,2\n".encode(), "2 列都叫「数量」"),
        ("SKU,数量\n".encode(), "表头下面没有内容"),
        (("SKU,数量\n" + "A,1\n" * (MOST_ROWS + 5)).encode(), f"超过 {MOST_ROWS} 行"),
        ('SKU,数量\nA,"1\n'.encode() + b"x" * 200_000, "引号"),
        (xlsx(["SKU", "数量"], ["A", 1], 第二张=[["SKU", "数量"], ["A", 2]]), "有几张表"),
        (xlsx(["SKU", "数量"]), "表头下面没有内容"),
    ],
    ids=range(12),
)
def test_what_cannot_be_used_is_said(data: bytes, words: str) -> None:
    with pytest.raises(SheetWrong, match=words):
        read_count_sheet(data)


def repacked(data: bytes, name: str, content: bytes) -> bytes:
    """The same XLSX with one part replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, content if part.filename == name else old.read(part))
    return out.getvalue()


GOOD = xlsx(["SKU", "数量"], ["A", 1])
SHEET = "xl/worksheets/sheet1.xml"
BOMB = b"<!DOCTYPE z [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><worksheet>&b;</worksheet>"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (repacked(GOOD, SHEET, b" " * (60 * 1024 * 1024)), "展开后太大"),
        (repacked(GOOD, SHEET, BOMB), "不该有的内容"),
        (repacked(GOOD, SHEET, b"<worksheet><broken"), "打不开"),
        (repacked(GOOD, "xl/workbook.xml", b""), "打不开"),
        (GOOD[: len(GOOD) // 2], "已损坏"),
    ],
    ids=range(5),
)
def test_bombs_and_broken_files_are_refused(data: bytes, words: str) -> None:
    assert len(data) < MOST_BYTES
    with pytest.raises(SheetWrong, match=words):
        read_count_sheet(data)


def test_one_cell_far_out_makes_no_million_rows() -> None:
    far = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><dimension ref="A1:XFD1048576"/>'
        b'<sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>SKU</t></is></c>'
        b'<c r="B1" t="inlineStr"><is><t>counted</t></is></c></row>'
        b'<row r="2"><c r="A2" t="inlineStr"><is><t>A</t></is></c><c r="B2"><v>3</v></c></row>'
        b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
    )

    assert counts(read_count_sheet(repacked(GOOD, SHEET, far))) == {"A": 3}


def test_what_people_download_opens_as_text() -> None:
    written = to_csv(["SKU", "n"], [["=1+1", 5], ["@x", -3], ["-1", None], ["罐头", 0], ["  +1", 1], ["+2", 1]])

    assert written.startswith(b"\xef\xbb\xbf")
    assert written.decode("utf-8-sig").splitlines() == [
        "SKU,n", "'=1+1,5", "'@x,-3", "'-1,", "罐头,0", "'  +1,1", "'+2,1",
    ]  # fmt: skip
