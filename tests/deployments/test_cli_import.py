"""`orderloom import …` on a real database: what is shown before it is used, what it writes, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlmodel import Session

from deployments import sheet_import
from integrations.sandbox.opening import open_book
from integrations.spreadsheets import rejecting
from models.database import utcnow
from models.parcel import keep_parcel
from tests.deployments.command import Run, number
from tests.sheets import baskets, sheet_file

SHOP = ("--shop", "pdd-旗舰店")


@pytest.fixture(autouse=True)
def shop(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The products of the history; batches are judged by the row rules alone, which is quicker."""
    monkeypatch.setenv("ORDERLOOM_POLICY", json.dumps({"judge_batches": False}))
    open_book(session, utcnow())
    session.commit()
    yield


@pytest.fixture
def orderloom(orderloom: Run) -> Run:
    """Without the seconds that great-expectations takes to import."""
    return lambda *words, **named: orderloom(
        *words, **{"ORDERLOOM_POLICY": json.dumps({"judge_batches": False}), **named}
    )


def orders(session: Session) -> int:
    return number(session, "SELECT count(*) FROM orders")


def test_a_file_is_shown_and_imported_once(orderloom: Run, session: Session, tmp_path: Path) -> None:
    file = sheet_file(tmp_path / "订单.csv", 12)

    said = orderloom("import", str(file), *SHOP, "--yes", "--who", "王敏")

    assert said.returncode == 0, said.stderr
    for shown in ("编码:UTF-8", "订单编号", "订单号", "列名是订单号的常见写法", "新单 12", "共 12 单"):
        assert shown in said.stdout, shown
    assert orders(session) == 12
    assert number(session, "SELECT count(*) FROM order_sheet WHERE by = '王敏' AND place = 'command'") == 1
    again = orderloom("import", *SHOP, "--yes", str(file))
    assert (again.returncode, orders(session)) == (0, 12)
    assert "已有,没有变化 12" in again.stdout and "按上次确认的对应关系(王敏)" in again.stdout


def test_receivers_are_masked_on_the_screen(orderloom: Run, session: Session, tmp_path: Path) -> None:
    one = baskets(1)
    file = sheet_file(tmp_path / "a.csv", one)

    said = orderloom("import", str(file), *SHOP, "--dry-run", "--yes")

    line = next(line for line in said.stdout.splitlines() if line.startswith("·"))
    assert one[0].basket.phone not in line and one[0].basket.street not in line
    assert "试算:会是 新单 1" in said.stdout
    assert orders(session) == 0


def test_nothing_is_imported_unless_somebody_says_yes(
    orderloom: Run, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = sheet_file(tmp_path / "a.csv", 3)
    monkeypatch.setattr(typer, "confirm", lambda said: False)

    said = orderloom("import", str(file), *SHOP)

    assert said.returncode == 1 and "没有任何改变" in said.stdout
    assert orders(session) == 0
    assert number(session, "SELECT count(*) FROM order_sheet WHERE state = 'discarded' AND head = ''") == 1


def test_a_mapping_is_saved_changed_and_given(orderloom: Run, session: Session, tmp_path: Path) -> None:
    file, mapping = sheet_file(tmp_path / "a.csv", 2), tmp_path / "m.json"
    assert orderloom("import", str(file), *SHOP, "--save-mapping", str(mapping)).returncode == 0
    told = json.loads(mapping.read_text(encoding="utf-8"))
    assert told["columns"]["订单编号"] == "order_id"
    mapping.write_text(json.dumps({"columns": {"商品数量": "nonsense"}}), encoding="utf-8")

    wrong = orderloom("import", str(file), *SHOP, "--mapping", str(mapping), "--yes")
    assert wrong.returncode == 1 and "不认识的字段" in wrong.stderr and orders(session) == 0
    mapping.write_text("not json", encoding="utf-8")
    broken = orderloom("import", str(file), *SHOP, "--mapping", str(mapping), "--yes")
    assert broken.returncode == 1 and "不是 JSON" in broken.stderr
    mapping.write_text(json.dumps(told), encoding="utf-8")
    assert orderloom("import", str(file), *SHOP, "--mapping", str(mapping), "--yes").returncode == 0
    assert orders(session) == 2


def test_rejected_rows_are_written_beside_the_file_and_can_be_mended_and_imported(
    orderloom: Run, session: Session, tmp_path: Path
) -> None:
    some = baskets(4)
    bad = replace(some[1], basket=replace(some[1].basket, name=""))
    file = sheet_file(tmp_path / "a.csv", [some[0], bad, *some[2:]])

    said = orderloom("import", str(file), *SHOP, "--yes")

    report = tmp_path / "a-未导入.csv"
    assert said.returncode == 1 and "地址不全: 1" in said.stdout and report.exists()
    rows = report.read_text(encoding="utf-8-sig").splitlines()
    assert rows[0].endswith(",原因") and "缺少收件人姓名" in rows[1]
    mended = report.read_text(encoding="utf-8-sig").replace(f",{bad.basket.buyer},,", f",{bad.basket.buyer},王小明,")
    report.write_text(mended, encoding="utf-8-sig")
    again = orderloom("import", str(report), *SHOP, "--yes")
    assert again.returncode == 0, again.stdout + again.stderr
    assert orders(session) == 4
    assert number(session, "SELECT count(*) FROM quarantine WHERE resolved_at IS NULL") == 0


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("", (), "文件是空的"),
        ("名称,价格\n1,2\n", (), "还没有指定哪一列是订单号"),
        ("订单号,数量\n1,2\n", ("--encoding", "klingon"), "不支持编码"),
        ("订单号,数量\n1,2\n", ("--header-row", "9"), "第 9 行没有内容"),
    ],
    ids=range(4),
)
def test_a_file_that_cannot_be_used_is_said(
    orderloom: Run, session: Session, tmp_path: Path, content: str, options: tuple[str, ...], words: str
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(content, encoding="utf-8")

    said = orderloom("import", str(file), *SHOP, "--yes", *options)

    assert said.returncode == 1
    assert words in said.stderr + said.stdout
    assert orders(session) == 0


def test_a_shop_must_have_a_name(orderloom: Run, tmp_path: Path) -> None:
    file = sheet_file(tmp_path / "a.csv", 1)
    assert "店铺名" in orderloom("import", str(file), "--shop", "a/b", "--yes").stderr
    assert orderloom("import", str(file)).returncode == 2
    assert orderloom("import", str(tmp_path / "no.csv"), *SHOP).returncode == 2


def test_interrupted_it_goes_on_when_it_is_run_again(
    orderloom: Run, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = sheet_file(tmp_path / "a.csv", 1_100)
    whole = sheet_import.import_sheet

    async def until_ctrl_c(number: int, told: Any, **how: Any) -> Any:
        async def tell(sheet: Any) -> None:
            await told(sheet)
            if sheet.orders_done == 500:
                raise KeyboardInterrupt

        return await whole(number, tell, **how)

    with monkeypatch.context() as once:
        once.setattr(sheet_import, "import_sheet", until_ctrl_c)
        said = orderloom("import", str(file), *SHOP, "--yes")
    assert said.returncode == 130 and "再运行同样的命令会接着做" in said.stdout
    assert orders(session) == 500

    again = orderloom("import", str(file), *SHOP, "--yes")

    assert again.returncode == 0, again.stderr
    assert "从第 501 单起" in again.stdout and "新单 1100" in again.stdout
    assert orders(session) == 1_100


def test_waybills_go_back_as_a_sheet(orderloom: Run, session: Session, tmp_path: Path) -> None:
    file = sheet_file(tmp_path / "a.csv", 2)
    orderloom("import", str(file), *SHOP, "--yes")
    session.rollback()
    (order_id, part, name) = session.connection().exec_driver_sql(
        "SELECT o.id, f.id, channel_order_id FROM orders o JOIN fulfilment f ON f.order_id = o.id ORDER BY o.id LIMIT 1"
    ).one()  # fmt: skip
    parcel = keep_parcel(session, order_id, part, "sf_express", "XL-1-1", "SF0001", utcnow())
    parcel.told_channel_at = utcnow()
    session.commit()

    for out in (tmp_path / "back.csv", tmp_path / "back.xlsx"):
        said = orderloom("import", "waybills", *SHOP, "--out", str(out))
        assert said.returncode == 0 and "1 个包裹" in said.stdout
        assert out.stat().st_size > 100
    assert f"{name},顺丰速运,SF0001," in (tmp_path / "back.csv").read_text(encoding="utf-8-sig")
    assert "没有店铺" in orderloom("import", "waybills", "--shop", "别家").stderr
    assert orderloom("import", "waybills", *SHOP, "--out", "a.pdf").returncode == 2
    later = orderloom("import", "waybills", *SHOP, "--since", "2099-01-01", "--out", str(tmp_path / "none.csv"))
    assert "0 个包裹" in later.stdout


def test_english_is_spoken_too(orderloom: Run, tmp_path: Path) -> None:
    file = sheet_file(tmp_path / "a.csv", 2)
    said = orderloom("import", str(file), "--shop", "pdd", "--yes", "--lang", "en")
    assert "new 2 (2 orders" in said.stdout, said.stdout


def test_a_report_as_a_workbook_holds_no_formula(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    table = tmp_path / "a.csv"
    table.write_text("\ufeff订单号,原因\n'=1+1,\x01坏\n", encoding="utf-8")
    rejecting.write_book(tmp_path / "a.xlsx", table)
    cell = load_workbook(tmp_path / "a.xlsx").worksheets[0]["A2"]
    assert (cell.value, cell.data_type) == ("'=1+1", "s")
