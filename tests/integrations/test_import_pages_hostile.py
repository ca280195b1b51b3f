"""The pages for sheets of orders and what should not be there: wrong files, other encodings, forged forms, bombs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook

from integrations.spreadsheets.kept_sheets import Keeper, SheetGone, opened, sweep
from models.database import transact
from models.order_sheet import OrderSheet
from models.privacy import PrivacyKeyMissing
from tests.integrations.import_browser import (
    csv_of,
    do,
    import_portal,
    sent,
    stored,
    uploaded,
    worked_through,
)
from tests.integrations.portal_server import Browser, Portal, one, signed_in
from tests.sheets import baskets, sheet_file


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Portal]:
    with import_portal(database_url, monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def browser(portal: Portal) -> Iterator[Browser]:
    """A customer service lead."""
    with signed_in(portal, "林主管", "customer_service_lead") as person:
        yield person


def test_forms_with_files_are_checked_and_bounded(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = ("a.csv", csv_of(tmp_path))
    stolen = browser.post("/imports", data={"csrf": "0" * 64, "shop": "x"}, files={"file": sheet})
    foreign = browser.post(
        "/imports", data={"csrf": browser.token("/imports"), "shop": "x"}, files={"file": sheet},
        headers={"Origin": "http://evil.test"},
    )  # fmt: skip
    none = browser.post("/imports", data={"csrf": browser.token("/imports"), "shop": "x"}, files={"other": sheet})
    nameless = sent(browser, *sheet, shop=" ")
    row = sent(browser, *sheet, header_row="zero")
    monkeypatch.setattr("integrations.portal.streamed_uploads.MOST_BYTES", 1000)
    huge = sent(browser, "a.csv", b"x" * 100_000)
    assert [one.status_code for one in (stolen, foreign, none, nameless, row, huge)] == [403, 403, 400, 400, 400, 413]
    assert one("SELECT count(*) FROM order_sheet") == 0
    assert stored(tmp_path) == []


def bomb() -> bytes:
    """A workbook that unpacks to gigabytes, as it announces."""
    book, out = Workbook(), io.BytesIO()
    assert book.active is not None
    book.active.append(["订单号", "数量"])
    book.save(out)
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(out.getvalue())) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            data = old.read(part)
            new.writestr(part.filename, data + b" " * (600 * 1024**2) if part.filename.endswith("styles.xml") else data)
        for number in range(3):
            new.writestr(f"xl/more{number}.xml", b" " * (600 * 1024**2))
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", b"", "是空的"),
        ("a.xlsx", b"PK\x03\x04broken", "已损坏"),
        ("a.xls", b"\xd0\xcf\x11\xe0" + b"\0" * 100, "旧版 Excel"),
        ("a.csv", b"\0" * 4000, "空字符"),
        ("a.html", b"<html><table>", "网页"),
        ("a.csv", "订单号,数量\n".encode() + b"1," + b"x" * 10_000_000 + b"\n", "超过 1 MB"),
        ("a.csv", ",".join(f"c{n}" for n in range(1_000_000)).encode() + b"\n1,2\n", "超过"),
        ("a.csv", '订单号,数量\n"1,2\n'.encode(), "引号"),
        ("a.csv", "只有一句话".encode(), ""),
    ],
    ids=range(9),
)
def test_a_file_that_cannot_be_used_is_said_and_not_kept(
    browser: Browser, tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    answer = sent(browser, name, data)
    assert answer.status_code == 400, answer.headers
    assert words in answer.text
    assert one("SELECT count(*) FROM order_sheet") == 0
    assert stored(tmp_path) == []


def test_a_bomb_is_not_unpacked(browser: Browser, tmp_path: Path) -> None:
    answer = sent(browser, "a.xlsx", bomb())
    assert answer.status_code == 400 and "展开后太大" in answer.text
    assert stored(tmp_path) == []


def test_an_encoding_that_cannot_be_told_is_chosen_by_a_person(browser: Browser, tmp_path: Path) -> None:
    text = csv_of(tmp_path, 2, encoding="utf-8").decode()
    rare = text.replace("待发货", "\u7940\u77a4\u9f8d\u9f8d").encode("gb18030") + b"\xff\xff"
    place = uploaded(browser, rare)
    page = browser.get(place).text
    assert "哪一种读得通" in page and "确认导入" not in page
    wrong = browser.send_form(place, f"{place}/open", encoding="big5")
    assert wrong.status_code == 400 and "不是 Big5" in wrong.text
    assert browser.send_form(place, f"{place}/open", encoding="klingon").status_code == 400
    assert do(browser, place, "confirm").status_code == 409


def test_a_wrong_encoding_is_said_and_a_wrong_header_row_is_corrected(browser: Browser, tmp_path: Path) -> None:
    data = csv_of(tmp_path, 3, encoding="utf-8")
    wrong = sent(browser, "a.csv", data, encoding="gb18030")
    assert wrong.status_code == 400 and "不是 GB18030" in wrong.text
    assert stored(tmp_path) == []
    place = uploaded(browser, data, header_row="2")
    assert "还没有指定哪一列是订单号" in browser.get(place).text
    browser.send_form(place, f"{place}/open", header_row="1")
    assert "列名是订单号的常见写法" in browser.get(place).text
    do(browser, place, "confirm")
    assert worked_through(place).counts["outcomes"] == {"new": 3}


def test_another_worksheet_is_chosen(browser: Browser, tmp_path: Path) -> None:
    path = sheet_file(tmp_path / "a.xlsx", 2)
    book = load_workbook(path)
    book.create_sheet("封面", 0).append(["说明", "请看第二张", "订单号", "数量"])
    book.save(path)
    answer = sent(browser, "a.xlsx", path.read_bytes(), sheet="订单")
    place = answer.headers["location"]
    assert "工作表:订单" in browser.get(place).text
    do(browser, place, "confirm")
    assert worked_through(place).counts["outcomes"] == {"new": 2}


def test_hostile_text_stays_text(browser: Browser, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>{{7*7}}"
    orders = [replace(one, basket=replace(one.basket, note=evil)) for one in baskets(2)]
    data = csv_of(tmp_path, orders).replace("买家留言".encode(), evil.encode())
    place = uploaded(browser, data, f"{evil}.csv")
    page = browser.get(place).text
    assert "<script>alert" not in page and "49" not in page.partition("每一列")[0].partition("<h1>")[2]
    assert "<script>alert" not in browser.get("/imports").text
    assert browser.get(f"/imports/{2**70}").status_code == 404


def test_three_hundred_columns_fit_the_form(browser: Browser, tmp_path: Path) -> None:
    head, *rows = csv_of(tmp_path, 2, encoding="utf-8").decode().splitlines()
    more = 300 - len(head.split(","))
    data = "\n".join([head + "".join(f",列{n}" for n in range(more)), *(row + ",x" * more for row in rows)])
    place = uploaded(browser, data.encode())
    assert do(browser, place, "confirm").status_code == 303
    assert worked_through(place).counts["outcomes"] == {"new": 2}


def test_kept_files_are_sealed_whole_and_swept(portal: Portal, tmp_path: Path) -> None:
    data = bytes(range(256)) * 12_345
    with Keeper() as keeper:
        keeper.write(data[:5])
        keeper.write(data[5:])
        keeper.finish()
    with opened(keeper.name) as path:
        assert path.read_bytes() == data and path.stat().st_mode & 0o077 == 0
    assert len(stored(tmp_path)) == 1
    (file,) = stored(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PrivacyKeyMissing), opened(keeper.name):
        pass
    with pytest.raises(SheetGone), opened("nothing"):
        pass
    sweep(set())
    assert len(stored(tmp_path)) == 1  # young: somebody may be about to name it
    with pytest.raises(ZeroDivisionError), Keeper() as unfinished:
        unfinished.write(b"x")
        raise ZeroDivisionError
    assert len(stored(tmp_path)) == 1
    assert transact(lambda s: s.get(OrderSheet, 1)) is None
