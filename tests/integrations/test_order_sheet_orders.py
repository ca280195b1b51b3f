"""Rows into orders: brought together, filled in, contradicted, set aside with the reason, and never taken in twice."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integrations.spreadsheets.order_sheet import (
    MappingWrong,
    Rejected,
    header_key,
    open_sheet,
    rejected_rows,
    stage,
    write_rejected,
)
from models.intake import PlatformStatus, Receiver, Unreadable
from models.quality import judge
from tests.integrations.order_sheet_files import MAPPING, NOW, ORDER, csv_of, good, mapped, reason, staged, written

BLANK = dict.fromkeys(ORDER, "")


def test_one_row_is_one_order(tmp_path: Path) -> None:
    (found,) = staged(csv_of(tmp_path / "a.csv", {}), mapped())

    order = good(found)
    assert (order.channel, order.shop, order.channel_order_id) == ("spreadsheet", "pdd-main", "XL2026110100001")
    assert order.placed_at == order.paid_at == datetime(2026, 11, 1, 4, 30, tzinfo=UTC)
    assert order.updated_at == NOW and order.status is PlatformStatus.TO_SHIP
    assert (order.total_fen, order.paid_fen, order.freight_fen, order.discount_fen) == (10000, 10000, 0, 0)
    assert order.receiver == Receiver("赵玉珍", "16000006978", "安徽省", "合肥市", "蜀山区", "李路184号27栋3单元2001室")
    assert [(line.channel_line_id, line.sku, line.quantity, line.paid_fen) for line in order.lines] == [
        ("DOG-1", "DOG-1", 2, 10000)
    ]
    assert order.raw == {"rows": [ORDER], "row_numbers": [2]}
    assert {fault.code for fault in judge(order, {}, NOW)} == {"unknown_sku"}


def test_rows_of_one_order_come_together_in_the_order_of_their_first_row(tmp_path: Path) -> None:
    rows = [{"订单号": "B"}, {"订单号": "A"}, {"订单号": "C"}, {"订单号": "A", "SKU": "CAT-1", "数量": "1"}]

    path = csv_of(tmp_path / "a.csv", *rows)
    found = [good(one) for one in staged(path, mapped())]
    with stage(path, mapped(), shop="s", now=NOW) as again:
        assert [len(batch) for batch in again.orders(2)] == [len(batch) for batch in again.orders(2)] == [2, 1]

    assert [(one.channel_order_id, len(one.lines)) for one in found] == [("B", 1), ("A", 2), ("C", 1)]
    assert found[1].raw["row_numbers"] == [3, 5]
    assert found[1].total_fen == 15000


def test_blank_order_cells_on_later_rows_are_filled_from_the_first(tmp_path: Path) -> None:
    path = csv_of(
        tmp_path / "a.csv", {}, {**BLANK, "订单号": ORDER["订单号"], "SKU": "CAT-1", "数量": "1", "单价": "1"}
    )

    (found,) = staged(path, mapped())

    assert good(found).receiver is not None and len(good(found).lines) == 2


def test_contradictory_order_cells_set_the_order_aside_with_both_values(tmp_path: Path) -> None:
    rows = [{"订单号": "A"}, {"订单号": "A", "收件人": "钱多多", "SKU": "CAT-1"}, {"订单号": "B"}]

    first, second = staged(csv_of(tmp_path / "a.csv", *rows), mapped())

    assert reason(first) == "同一订单的「收件人」不一样:第 2 行是 '赵玉珍',第 3 行是 '钱多多'"
    assert first.raw["row_numbers"] == [2, 3] and first.raw["rows"][1]["收件人"] == "钱多多"
    assert good(second).channel_order_id == "B"


def test_two_ways_of_writing_one_value_are_no_contradiction(tmp_path: Path) -> None:
    changes = {"SKU": "CAT-1", "电话": "13800138000.0", "下单时间": "2026/11/1 12:30", "运费": "¥8.00"}
    rows = [{"电话": "13800138000", "运费": "8"}, changes]

    (found,) = staged(csv_of(tmp_path / "a.csv", *rows), mapped({"运费": "freight"}))

    assert good(found).freight_fen == 800 and good(found).total_fen == 20800


def test_a_row_without_an_order_id_continues_the_one_above_only_when_the_mapping_says_so(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", {}, {**BLANK, "SKU": "CAT-1", "数量": "1", "单价": "9.90"}, {"订单号": "B"})

    (continued, _) = staged(path, mapped(fill_down=True))
    (spoiled, other) = staged(path, mapped())

    assert good(continued).total_fen == 10990
    assert "第 3 行没有填「订单号」却有商品" in reason(spoiled) and spoiled.raw["row_numbers"] == [2, 3]
    assert good(other).channel_order_id == "B"


@pytest.mark.parametrize("fill_down", [True, False])
def test_a_row_of_totals_is_set_aside_alone(tmp_path: Path, fill_down: bool) -> None:
    path = csv_of(tmp_path / "a.csv", {}, {**BLANK, "数量": "2", "单价": "100.00"})

    order, total = staged(path, mapped(fill_down=fill_down))

    assert good(order).total_fen == 10000
    assert "第 3 行没有填「订单号」:合计行请删掉" in reason(total)
    assert total.channel_order_id == ""


@pytest.mark.parametrize(
    ("word", "status", "paid"),
    [
        ("已取消", PlatformStatus.CANCELLED, 0),
        ("交易关闭", PlatformStatus.CANCELLED, 0),
        ("退款成功", PlatformStatus.REFUNDED, 10000),
        ("等待买家付款", PlatformStatus.AWAITING_PAYMENT, 0),
        ("已签收", PlatformStatus.COMPLETE, 10000),
        ("退款中", PlatformStatus.HELD, 0),
    ],
)
def test_status_words_decide_about_money(tmp_path: Path, word: str, status: PlatformStatus, paid: int) -> None:
    (found,) = staged(csv_of(tmp_path / "a.csv", {"状态": word}), mapped())

    order = good(found)
    assert (order.status, order.paid_fen, order.paid_at is not None) == (status, paid, paid > 0)
    assert order.refunded_fen == (paid if status is PlatformStatus.REFUNDED else 0)


def test_an_unknown_status_is_set_aside_until_the_mapping_explains_it(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", {"状态": "小二处理中"})

    (unknown,) = staged(path, mapped())
    (known,) = staged(path, mapped(statuses={"小二处理中": "held"}))

    assert "第 2 行「状态」是 '小二处理中':不认识这个状态" in reason(unknown)
    assert good(known).status is PlatformStatus.HELD


def test_of_several_status_columns_the_gravest_decides_and_silent_ones_say_nothing(tmp_path: Path) -> None:
    rows = [
        {"订单号": "A", "售后状态": "无售后或售后取消"},
        {"订单号": "B", "售后状态": "退款成功"},
        {"订单号": "C", "售后状态": "退款中", "状态": "已发货"},
        {"订单号": "D", "售后状态": "", "取消时间": "2026-11-01 13:00"},
    ]
    mapping = mapped({"售后状态": "status", "取消时间": "cancelled_at"})

    found = staged(csv_of(tmp_path / "a.csv", *rows), mapping)

    assert [good(one).status.value for one in found] == ["to_ship", "refunded", "held", "cancelled"]


def test_without_a_status_column_the_payment_decides_or_the_default(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", {"付款时间": "2026-11-01 12:31"}, {"订单号": "B", "付款时间": "-"})
    columns = {"状态": "ignore", "付款时间": "paid_at"}

    assert [good(one).status.value for one in staged(path, mapped(columns))] == ["to_ship", "awaiting_payment"]
    assert [good(one).status.value for one in staged(path, mapped(columns, default_status="held"))] == ["held"] * 2
    assert "没有填「状态」" in reason(staged(csv_of(path, {"状态": ""}), mapped())[0])


def test_amounts_that_are_not_said_are_worked_out(tmp_path: Path) -> None:
    columns = {"实付": "line_paid", "总额": "order_total", "运费": "freight", "优惠": "discount"}
    lines = [{"数量": "1", "单价": "10.00", "SKU": sku} for sku in ("A", "B", "C")]
    cases: list[tuple[list[dict[str, str]], tuple[list[int], int, int]]] = [
        ([{"优惠": "10.00", "运费": "5"}], ([9000], 9500, 1000)),
        ([{**line, "优惠": "10", "实付": "", "总额": ""} for line in lines], ([667, 667, 666], 2000, 1000)),
        ([{**line, "总额": "25.01", "运费": "5"} for line in lines], ([667, 667, 667], 2501, 999)),
        ([{"单价": "", "总额": "88.00", "运费": "8.00"}], ([8000], 8800, 0)),
        ([{"单价": "", "实付": "99.99", "运费": "1"}], ([9999], 10099, 1)),
        ([{"单价": "50", "总额": "300"}], ([10000], 30000, 0)),
    ]
    for number, (rows, (paid, total, discount)) in enumerate(cases):
        (found,) = staged(
            csv_of(tmp_path / f"{number}.csv", *rows), mapped({k: v for k, v in columns.items() if k in rows[0]})
        )
        order = good(found)
        assert ([line.paid_fen for line in order.lines], order.total_fen, order.discount_fen) == (paid, total, discount)

    (untold,) = staged(
        csv_of(tmp_path / "x.csv", {"单价": "", "总额": "9"}, {"SKU": "B", "单价": "", "总额": "9"}),
        mapped({"总额": "order_total"}),
    )
    assert "第 2、3 行:没有单价也没有本行实付" in reason(untold)


def test_a_column_in_fen_is_read_as_fen(tmp_path: Path) -> None:
    (found,) = staged(
        csv_of(tmp_path / "a.csv", {"单价(分)": "5000"}), mapped({"单价": "ignore", "单价(分)": "unit_price"})
    )

    assert good(found).total_fen == 10000


def test_every_reason_names_row_column_and_value(tmp_path: Path) -> None:
    row = {"下单时间": "昨天", "数量": "两", "单价": "1.234,5x", "电话": "1.38E+10"}

    (found,) = staged(csv_of(tmp_path / "a.csv", row), mapped())

    said = reason(found)
    for column, value in row.items():
        assert f"第 2 行「{column}」是 '{value}':" in said


def test_what_must_be_there_is_asked_for_beside_everything_else(tmp_path: Path) -> None:
    rows = [{"下单时间": "0000-00-00 00:00:00"}, {"订单号": "B", "下单时间": "", "SKU": "", "数量": "x"}]

    first, second = staged(csv_of(tmp_path / "a.csv", *rows), mapped())

    assert reason(first) == "第 2 行没有填「下单时间」"
    assert reason(second).split(";") == [
        "第 3 行没有填「下单时间」",
        "第 3 行没有填「SKU」",
        "第 3 行「数量」是 'x':数量应是整数,例如 2",
    ]


def test_rounded_order_ids_are_set_aside_one_by_one(tmp_path: Path) -> None:
    rows = [
        {"订单号": "4.78E+18"},
        {"订单号": "4.78E+18"},
        {"订单号": "4781234567890120000"},
        {"订单号": "4781234567890123456"},
    ]

    found = staged(csv_of(tmp_path / "a.csv", *rows), mapped())

    assert ["文本格式" in reason(one) for one in found[:3]] == [True] * 3
    assert good(found[3]).channel_order_id == "4781234567890123456"
    assert good(staged(csv_of(tmp_path / "b.csv", rows[2]), mapped(ids_checked=True))[0])


def test_one_date_decides_how_a_whole_column_is_read(tmp_path: Path) -> None:
    months, days, unclear = (
        csv_of(
            tmp_path / f"{name}.csv",
            {"订单号": "A", "下单时间": "11/01/2026 12:30"},
            {"订单号": "B", "下单时间": other},
        )
        for name, other in (("m", "11/30/2026 12:30"), ("d", "30/11/2026 12:30"), ("u", "10/01/2026"))
    )

    assert good(staged(months, mapped())[0]).placed_at == datetime(2026, 11, 1, 4, 30, tzinfo=UTC)
    assert good(staged(days, mapped())[0]).placed_at == datetime(2026, 1, 11, 4, 30, tzinfo=UTC)
    assert "日在前" in reason(staged(unclear, mapped())[0])
    assert good(staged(unclear, mapped(date_order="day_first"))[0]).placed_at.month == 1
    with stage(unclear, mapped(), shop="s", now=NOW) as found:
        assert len(found.questions) == 1 and "「下单时间」里的日期分不清" in found.questions[0]
    with stage(months, mapped(), shop="s", now=NOW) as found:
        assert found.questions == ()


def test_decimal_commas_are_read_only_where_the_column_agrees_on_them(tmp_path: Path) -> None:
    comma = csv_of(tmp_path / "a.csv", {"单价": "1.234,50"}, {"订单号": "B", "单价": "12"})
    mixed = csv_of(tmp_path / "b.csv", {"单价": "1.234,50"}, {"订单号": "B", "单价": "12.5"})

    assert [good(one).total_fen for one in staged(comma, mapped())] == [246900, 2400]
    first, second = staged(mixed, mapped())
    assert "不一致" in reason(first) and good(second).total_fen == 2500
    assert good(staged(mixed, mapped(decimal="comma"))[0]).total_fen == 246900


def test_the_same_content_has_the_same_digest_whatever_the_file(tmp_path: Path) -> None:
    first, second = {"运费": "8", "备注": "=轻放"}, {"SKU": "CAT-1", "运费": "", "备注": ""}
    columns = {"运费": "freight", "备注": "note"}
    one = csv_of(tmp_path / "a.csv", first, second)
    other = csv_of(
        tmp_path / "b.csv", {**second, "运费": "¥8.00", "备注": "=轻放"}, {**first, "下单时间": "2026/11/1 12:30"}
    )
    changed = csv_of(tmp_path / "c.csv", first, {**second, "数量": "3"})

    digests = [good(staged(path, mapped(columns))[0]).handles["content"] for path in (one, other, changed)]

    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 16 and good(staged(one, mapped(columns))[0]).note == "=轻放"


def test_pets_and_extra_columns_are_the_lines_attributes(tmp_path: Path) -> None:
    pet = {
        "宠物名": "豆豆",
        "物种": "狗",
        "体重(斤)": "23",
        "过敏原": "无",
        "生日": "2022/6/1",
        "颜色": "红",
        "主播": "小美",
    }
    columns = {
        "宠物名": "pet.name",
        "物种": "pet.species",
        "体重(斤)": "pet.weight_kg",
        "过敏原": "pet.allergens",
        "生日": "pet.birth_date",
        "颜色": "attribute:颜色",
        "主播": "order_attribute:主播",
    }
    path = csv_of(tmp_path / "a.csv", pet, {"SKU": "CAT-1"})

    order = good(staged(path, mapped(columns))[0])
    shared = good(staged(path, mapped(columns, pet_per_order=True))[0])

    answers = {"pet_name": "豆豆", "species": "dog", "weight_kg": "11.5", "allergens": "无", "birth_date": "2022-06-01"}
    assert {line.sku: line.attributes for line in order.lines} == {"DOG-1": {**answers, "颜色": "红"}, "CAT-1": {}}
    assert order.attributes == {"主播": "小美"}
    assert shared.attributes == {**answers, "主播": "小美"}


def test_several_shops_in_one_file_are_told_apart(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", {"店铺": "旗舰店"}, {"订单号": "B", "店铺": ""})

    assert [good(one).shop for one in staged(path, mapped({"店铺": "shop"}))] == ["pdd-main/旗舰店", "pdd-main"]


def test_line_ids_are_kept_and_may_not_come_twice(tmp_path: Path) -> None:
    good_one = csv_of(tmp_path / "a.csv", {"子单": "1"}, {"子单": "2"})
    twice = csv_of(tmp_path / "b.csv", {"子单": "1"}, {"子单": "1"})
    without = csv_of(tmp_path / "c.csv", {}, {})

    ids = [[line.channel_line_id for line in good(staged(path, mapping)[0]).lines] for path, mapping in
           ((good_one, mapped({"子单": "line_id"})), (without, mapped()))]  # fmt: skip

    assert ids == [["1", "2"], ["DOG-1", "DOG-1#2"]]
    assert "子订单号 '1' 出现了 2 次" in reason(staged(twice, mapped({"子单": "line_id"}))[0])


def test_masked_receivers_are_marked(tmp_path: Path) -> None:
    (found,) = staged(csv_of(tmp_path / "a.csv", {"收件人": "赵**", "电话": "160****6978"}), mapped())

    receiver = good(found).receiver
    assert receiver is not None and receiver.masked


def test_a_row_with_more_cells_than_the_header_is_set_aside(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", ",".join(ORDER) + "\n" + ",".join(ORDER.values()) + ",多,了\n")

    (found,) = staged(path, mapped())

    assert "第 2 行比表头多出 2 格" in reason(found)
    assert found.raw["rows"][0]["(多出的第 2 格)"] == "了"


def test_an_order_id_on_thousands_of_rows_is_no_order(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", *({} for _ in range(1_500)))

    (found,) = staged(path, mapped())

    assert "出现在 1500 行" in reason(found) and len(found.raw["rows"]) == 1_000


def test_progress_is_told_and_an_exception_in_it_stops_the_staging(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", *({"订单号": str(number)} for number in range(12_000)))
    told: list[tuple[int, int | None]] = []

    with stage(path, mapped(), shop="s", now=NOW, progress=lambda done, about: told.append((done, about))) as found:
        assert (found.rows, found.order_count) == (12_000, 12_000)
        assert [order.channel_order_id for order in next(found.orders(3))] == ["0", "1", "2"]
    assert told == [(5_000, 12_000), (10_000, 12_000), (12_000, 12_000), (12_000, 12_000)]

    def stop(done: int, about: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage(path, mapped(), shop="s", now=NOW, progress=stop)


def test_a_report_of_rejected_rows_is_corrected_and_sent_in_again(tmp_path: Path) -> None:
    rows = [{"订单号": "4781234567890123456", "数量": "两", "备注": "=1+1"}, {"订单号": "B"}]
    mapping = mapped({"备注": "note"})
    path, report = csv_of(tmp_path / "a.csv", *rows), tmp_path / "拒收.csv"
    sheet = open_sheet(path)
    bad = [one for one in staged(path, mapping) if isinstance(one, Unreadable)]

    count = write_rejected(
        report, sheet.titles, (row for one in bad for row in rejected_rows(sheet.headers, one.raw, [one.reason]))
    )

    assert count == 1
    assert report.read_bytes().startswith(b"\xef\xbb\xbf")
    with report.open(encoding="utf-8-sig", newline="") as file:
        header, cells = csv.reader(file)
    assert header == [*sheet.titles, "原因"]
    assert cells[0] == "'4781234567890123456" and cells[-2] == "'=1+1" and "第 2 行「数量」是 '两'" in cells[-1]
    again = open_sheet(written(tmp_path / "b.csv", report.read_bytes().replace("两".encode(), b"2")))
    assert header_key(again.headers) == header_key(sheet.headers)
    corrected = good(staged(again.path, mapping)[0])
    assert (corrected.channel_order_id, corrected.note) == ("4781234567890123456", "=1+1")


def test_a_second_report_has_one_column_of_reasons_and_loses_no_extra_cells(tmp_path: Path) -> None:
    report = tmp_path / "r.csv"

    write_rejected(report, ["原因", "订单号"], [Rejected(2, ("旧", "A", "多"), ("新的原因",)), Rejected(3, (), ())])

    with report.open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [["订单号", "原因"], ["A", "新的原因;这一行多出的内容:多"], ["", ""]]


def test_a_mapping_must_fit_before_any_row_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "订单号,SKU\nA,1\n")

    with pytest.raises(MappingWrong):
        stage(path, mapped(), shop="s", now=NOW)
    assert MAPPING["SKU"] == "sku"
