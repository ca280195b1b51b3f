"""`orderloom stock …` on a real database: what each command changes, what it says, and under whose name."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from models import compensation, coupon
from models.backorder import ExpectedReceipt, wait_for
from models.compensation import Cause, Limits
from models.database import utcnow
from models.fulfilment import Fulfilment, Stage, WaitingOn, fulfilments_of
from models.order import Order
from models.pool import ChannelShare, StockRule
from models.privacy import new_key
from models.settings import PolicySettings, settings
from models.stock import StockMovement
from models.stock_setting import StockSettingChange
from models.warehouse import Warehouse
from models.wording import TZ
from tests.deployments.command import Run, number
from tests.models.build import CAN, DRY, NOW, WAREHOUSE, cans, incoming, open_shop, taken, waiting, walk

WHY = ("--reason", "到货单 88")
OTHER = "WH-CD"


@pytest.fixture(autouse=True)
def shop(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ten cans in one of two warehouses."""
    monkeypatch.setenv("ORDERLOOM_PRIVACY_KEY", new_key())
    settings.cache_clear()
    open_shop(session, cans=10)
    session.add(Warehouse(code=OTHER, name="成都仓"))
    session.commit()
    yield
    settings.cache_clear()


def on_hand(session: Session, sku: str = CAN, warehouse: str = WAREHOUSE) -> int:
    where = f"sku = '{sku}' AND warehouse = '{warehouse}'"
    return number(session, f"SELECT coalesce(sum(on_hand), 0) FROM stock_item WHERE {where}")


def last(session: Session) -> StockMovement:
    """The newest row of the ledger."""
    session.rollback()
    return session.exec(select(StockMovement).order_by(text("id DESC"))).first()  # type: ignore[arg-type, return-value]


def part_of(session: Session, order: Order) -> Fulfilment:
    assert order.id is not None
    (part,) = fulfilments_of(session, order.id)
    return part


def reserved(session: Session, name: str, quantity: int, minutes: int = 0) -> Order:
    """An order with so many cans promised, paid so many minutes after the others."""
    order = taken(session, incoming(name, cans(quantity), paid_at=NOW + timedelta(minutes=minutes)))
    walk(session, order.order_no, Stage.RESERVED)
    return order


def test_receiving_says_what_is_there_now_and_who_did_it(orderloom: Run, session: Session) -> None:
    said = orderloom("stock", "receive", CAN, "5", "--warehouse", WAREHOUSE, *WHY, "--who", "王敏")

    assert said.returncode == 0, said.stderr
    assert f"{WAREHOUSE} 的 {CAN}:到货 5 件,现在在库 15,预留 0" in said.stdout
    row = last(session)
    assert (row.kind, row.on_hand_change, row.actor, row.reason) == ("receipt", 5, "王敏", "到货单 88")


def test_goods_that_arrive_wake_the_first_who_waits_and_close_what_was_expected(
    orderloom: Run, session: Session
) -> None:
    order = taken(session, incoming("1", cans(20)))
    part = part_of(session, order)
    assert part.id is not None and order.paid_at is not None
    wait_for(session, part.id, part.order_id, [CAN], order.paid_at, date(2026, 11, 20), NOW)
    waiting(session, order, WaitingOn.BACKORDER, "等货", utcnow() + timedelta(days=1))
    for quantity in (3, 9):
        session.add(ExpectedReceipt(warehouse=WAREHOUSE, sku=CAN, quantity=quantity, expected_on=date(2026, 11, 20)))
    session.commit()
    seq = number(session, "SELECT wake_seq FROM fulfilment")

    said = orderloom("stock", "receive", CAN, "5", "--warehouse", WAREHOUSE, *WHY)

    assert "有 1 单在等" in said.stdout and "了结了 1 笔预计到货" in said.stdout
    assert number(session, "SELECT wake_seq FROM fulfilment") == seq + 1
    assert number(session, "SELECT count(*) FROM fulfilment WHERE ready_at <= now()") == 1
    assert number(session, "SELECT count(*) FROM expected_receipt WHERE arrived_at IS NULL") == 1
    assert number(session, "SELECT quantity FROM expected_receipt WHERE arrived_at IS NULL") == 7


def test_what_is_adjusted_or_moved_is_written_under_the_systems_user(orderloom: Run, session: Session) -> None:
    adjusted = orderloom("stock", "adjust", CAN, "-3", "--warehouse", WAREHOUSE, *WHY)
    moved = orderloom("stock", "transfer", CAN, "2", "--from", WAREHOUSE, "--to", OTHER, *WHY)

    assert "调整 -3,现在在库 7" in adjusted.stdout
    assert f"{WAREHOUSE} 调往 {OTHER} 2 件" in moved.stdout
    assert (on_hand(session), on_hand(session, warehouse=OTHER)) == (5, 2)
    assert last(session).actor == getpass.getuser()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("receive", "NONE", "5", "--warehouse", WAREHOUSE), "没有商品 NONE"),
        (("receive", DRY, "5", "--warehouse", WAREHOUSE), "按单生产"),
        (("receive", CAN, "5", "--warehouse", "WH-X"), "没有仓库 WH-X。可选:WH-CD、WH-SZ"),
        (("receive", CAN, "5"), "请写明仓库。可选:WH-CD、WH-SZ"),
        (("receive", CAN, "0", "--warehouse", WAREHOUSE), "数量应在 1 到"),
        (("receive", CAN, "99999999999999", "--warehouse", WAREHOUSE), "数量应在 1 到"),
        (("adjust", CAN, "0", "--warehouse", WAREHOUSE), "不能是 0"),
        (("adjust", CAN, "-11", "--warehouse", WAREHOUSE), "只有 10 可动用"),
        (("transfer", CAN, "11", "--from", WAREHOUSE, "--to", OTHER), "只有 10 可动用"),
        (("transfer", CAN, "1", "--from", WAREHOUSE, "--to", WAREHOUSE), "同一个仓库"),
        (("count", CAN, "5", "--warehouse", "WH-X"), "没有仓库 WH-X"),
        (("expect", CAN, "5", "2020-01-01", "--warehouse", WAREHOUSE), "已经过去"),
        (("expect", "--drop", "7"), "没有未到的预计到货 #7"),
        (("buffer", "NONE", "--percent", "5"), "没有商品 NONE"),
        (("share", "ebay", "5"), "没有渠道 ebay"),
        (("ledger", "NONE"), "没有商品 NONE"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    orderloom: Run, session: Session, arguments: tuple[str, ...], words: str
) -> None:
    before = number(session, "SELECT count(*) FROM stock_movement")
    reason = () if arguments[0] == "ledger" else WHY

    said = orderloom("stock", *arguments, *reason)

    assert said.returncode == 1
    assert words in said.stderr and "Traceback" not in said.stderr
    assert number(session, "SELECT count(*) FROM stock_movement") == before
    assert on_hand(session) == 10


def test_without_a_reason_nothing_is_done(orderloom: Run, session: Session) -> None:
    missing = orderloom("stock", "receive", CAN, "5", "--warehouse", WAREHOUSE)
    blank = orderloom("stock", "receive", CAN, "5", "--warehouse", WAREHOUSE, "--reason", " ")

    assert (missing.returncode, blank.returncode) == (2, 1)
    assert "请写明原因" in blank.stderr
    assert on_hand(session) == 10


def test_a_count_below_what_is_promised_names_the_orders_that_lose_theirs(orderloom: Run, session: Session) -> None:
    first, second = reserved(session, "1", 4), reserved(session, "2", 4, minutes=1)
    session.commit()

    said = orderloom("stock", "count", CAN, "5", "--warehouse", WAREHOUSE, "--reason", "月末盘点")
    again = orderloom("stock", "count", CAN, "5", "--warehouse", WAREHOUSE, "--reason", "月末盘点")

    assert "盘点 10 → 5(-5);失去预留:" in said.stdout
    assert f"{second.order_no}-1 转入等货" in said.stdout and first.order_no not in said.stdout
    assert "与账面相同,没有变化" in again.stdout
    assert number(session, "SELECT count(*) FROM backorder WHERE state = 'waiting'") == 1


def test_settings_of_a_sku_keep_each_other_and_remember_who_and_why(orderloom: Run, session: Session) -> None:
    why = ("--reason", "双十一", "--who", "王敏")
    percent = orderloom("stock", "buffer", CAN, "--percent", "20", *why)
    short = orderloom("stock", "short", CAN, "compensate", *why)
    pieces = orderloom("stock", "buffer", CAN, "--pieces", "3", *why)
    two = orderloom("stock", "buffer", CAN, "--pieces", "3", "--default", *why)

    assert f"{CAN} 的缓冲:默认 → 20%" in percent.stdout
    assert f"{CAN} 的缺货时:默认 → 退款并补偿" in short.stdout
    assert f"{CAN} 的缓冲:20% → 每仓 3" in pieces.stdout
    assert two.returncode == 2
    session.rollback()
    rule = session.get_one(StockRule, CAN)
    assert (rule.buffer_percent, rule.buffer_pieces, rule.when_short, rule.set_by) == (None, 3, "compensate", "王敏")
    assert "缓冲:每仓 3 → 默认" in orderloom("stock", "buffer", CAN, "--default", *why).stdout
    session.rollback()
    kept = session.exec(select(StockSettingChange)).all()
    assert len(kept) == 4 and {(row.who, row.reason) for row in kept} == {("王敏", "双十一")}


def test_a_share_shows_on_its_channel(orderloom: Run, session: Session) -> None:
    everywhere = orderloom("stock", "share", "douyin", "50", "--reason", "试运营")
    one = orderloom("stock", "share", "douyin", "100", "--sku", CAN, "--reason", "主推")
    shown = orderloom("stock", "show", CAN)

    assert "全部商品 的抖店的份额:100%(默认) → 50%" in everywhere.stdout
    assert f"{CAN} 的抖店的份额:50%(默认) → 100%" in one.stdout
    assert "抖店 应显示 9" in shown.stdout
    session.rollback()
    assert {(row.sku, row.percent) for row in session.exec(select(ChannelShare))} == {("*", 50), (CAN, 100)}


def test_show_lists_shelves_and_finds_them_by_title(orderloom: Run, session: Session) -> None:
    reserved(session, "1", 4)
    session.commit()

    listed = orderloom("stock", "show", "猫罐头")
    one = orderloom("stock", "show", CAN)
    none = orderloom("stock", "show", "NOTHING")

    assert CAN in listed.stdout and WAREHOUSE in listed.stdout
    (line,) = [line for line in one.stdout.splitlines() if line.startswith(WAREHOUSE)]
    assert line.split()[1:] == ["10", "4", "1", "5"]
    assert "可售合计 5;缓冲 默认" in one.stdout
    assert none.returncode == 1 and "没有商品 NOTHING" in none.stdout


def test_the_ledger_has_its_running_sums_newest_first(orderloom: Run, session: Session) -> None:
    order = reserved(session, "1", 4)
    session.commit()
    orderloom("stock", "adjust", CAN, "-1", "--warehouse", WAREHOUSE, "--reason", "破损")

    said = orderloom("stock", "ledger", CAN, COLUMNS="200")

    lines = [line.split() for line in said.stdout.splitlines() if WAREHOUSE in line]
    assert lines[0][3:7] == ["调整", "-1", "9", "4"]
    assert lines[1][3:8] == ["预留", "10", "+4", "4", f"{order.order_no}-1"]
    assert lines[2][3:7] == ["到货", "+10", "10", "0"]


def test_expected_receipts_are_listed_and_taken_back(orderloom: Run, session: Session) -> None:
    day = (utcnow().astimezone(TZ) + timedelta(days=5)).date()

    kept = orderloom("stock", "expect", CAN, "50", str(day), "--warehouse", WAREHOUSE, "--reason", "采购单 9")
    shown = orderloom("stock", "show", CAN)
    number_ = kept.stdout.partition("#")[2].partition(":")[0]
    dropped = orderloom("stock", "expect", "--drop", number_, "--reason", "供应商缺货", "--who", "李强")
    again = orderloom("stock", "expect", "--drop", number_, "--reason", "供应商缺货")

    assert f"{CAN} 50 件,{day}" in kept.stdout
    assert f"预计到货 #{number_}:{day} {WAREHOUSE} 50" in shown.stdout
    assert dropped.returncode == 0 and again.returncode == 1
    session.rollback()
    assert session.exec(select(ExpectedReceipt)).one().note.endswith("李强 取消:供应商缺货")
    assert orderloom("stock", "expect", "--reason", "没写全").returncode == 2


def test_who_waits_is_listed_first_paid_first(orderloom: Run, session: Session) -> None:
    assert "没有人在等货" in orderloom("stock", "waiting").stdout
    for name, minutes in (("1", 5), ("2", 0)):
        order = taken(session, incoming(name, cans(20), paid_at=NOW + timedelta(minutes=minutes)))
        part = part_of(session, order)
        assert part.id is not None and order.paid_at is not None
        wait_for(session, part.id, part.order_id, [CAN], order.paid_at, date(2026, 11, 20), NOW)
    session.commit()

    said = orderloom("stock", "waiting", CAN)

    assert said.stdout.index("SH-1002-1") < said.stdout.index("SH-1001-1")
    assert "2026-11-20" in said.stdout
    assert "没有人在等货" in orderloom("stock", "waiting", DRY).stdout


def sheet(directory: Path, *rows: str) -> str:
    file = directory / "盘点.csv"
    file.write_text("SKU,实盘数量\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return str(file)


def test_an_import_shows_first_and_writes_when_told_to(orderloom: Run, session: Session, tmp_path: Path) -> None:
    second = reserved(session, "1", 8)
    session.commit()
    options = ("--warehouse", WAREHOUSE, "--reason", "年度盘点", "--who", "王敏")
    file = sheet(tmp_path, f"{CAN},7")

    shown = orderloom("stock", "import", file, *options)
    assert shown.returncode == 0, shown.stderr
    assert f"{CAN}:10 → 7(-3) ⚠ 1 单会失去预留:{second.order_no}-1" in shown.stdout
    assert "没有写入" in shown.stdout and on_hand(session) == 10

    written = orderloom("stock", "import", file, *options, "--apply")
    again = orderloom("stock", "import", file, *options, "--apply")

    assert written.returncode == 0, written.stderr
    assert f"{CAN}:10 → 7;失去预留:{second.order_no}-1 转入等货" in written.stdout
    assert on_hand(session) == 7
    assert last(session).reason.startswith("盘点 #2:年度盘点")
    assert again.returncode == 1 and "已由 王敏 于" in again.stderr


def test_rows_that_are_set_aside_are_named_and_the_rest_is_written(
    orderloom: Run, session: Session, tmp_path: Path
) -> None:
    file = sheet(tmp_path, f"{CAN},9", "NONE,1", f"{DRY},2", "ING-X,=1+1")

    said = orderloom("stock", "import", file, "--warehouse", WAREHOUSE, "--reason", "盘点", "--apply")
    wrong = orderloom("stock", "import", str(Path(file).with_name("secrets.json")), *WHY)

    assert said.returncode == 1
    for words in ("第 3 行 NONE:没有这个商品", f"第 4 行 {DRY}:按单生产", "第 5 行 ING-X:数量应为"):
        assert words in said.stderr
    assert on_hand(session) == 9
    assert wrong.returncode == 1 and "没有找到表头" in wrong.stderr


def test_a_coupon_is_redeemed_once(orderloom: Run, session: Session) -> None:
    order = reserved(session, "1", 2)
    compensation.request(
        session, part_of(session, order), Cause.BY_HAND, "试", "客服", utcnow(), Limits.of(PolicySettings())
    )
    assert order.id is not None
    (made_up,) = compensation.compensations_of(session, order.id)
    given = coupon.issue(session, made_up, order, utcnow() - timedelta(minutes=1), 90)
    assert given is not None
    code = given.code
    session.commit()

    unknown = orderloom("coupon", "redeem", "OL222222222222", order.order_no)
    used = orderloom("coupon", "redeem", code.lower(), order.order_no, "--who", "王敏")
    again = orderloom("coupon", "redeem", code, order.order_no)
    no_order = orderloom("coupon", "redeem", code, "SH-404")

    assert (unknown.returncode, used.returncode, again.returncode, no_order.returncode) == (1, 0, 1, 1)
    assert f"已为订单 {order.order_no} 核销 5.00 元" in used.stdout
    assert "每张只能用一次" in again.stderr and "没有订单 SH-404" in no_order.stderr
    assert number(session, "SELECT count(*) FROM coupon WHERE redeemed_by = '王敏'") == 1


def test_a_warehouse_is_set_up_with_its_province_and_nothing_else_is_taken_for_one(
    orderloom: Run, session: Session
) -> None:
    said = orderloom("stock", "warehouse", "WH-NORTH", "华北仓(廊坊)", "--province", "河北省")
    moved = orderloom("stock", "warehouse", OTHER, "西南仓", "--province", "重庆市")
    nowhere = orderloom("stock", "warehouse", "WH-X", "月球仓", "--province", "月球")

    assert (said.returncode, moved.returncode) == (0, 0), said.stderr + moved.stderr
    assert "已新增" in said.stdout and "已修改" in moved.stdout
    assert nowhere.returncode != 0 and "不认识省份「月球」" in nowhere.stderr + nowhere.stdout
    session.rollback()
    there = {w.code: (w.name, w.province) for w in session.exec(select(Warehouse))}
    assert there["WH-NORTH"] == ("华北仓(廊坊)", "河北省")
    assert there[OTHER] == ("西南仓", "重庆市")
    assert "WH-X" not in there
