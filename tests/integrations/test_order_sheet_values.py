"""Cells as people and programs write them: read for certain, repaired where nothing is lost, or refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from integrations.sandbox.history.places import PLACES
from integrations.spreadsheets.sheet_pets import answer_of
from integrations.spreadsheets.sheet_places import PROVINCES, Place, split_address, without_places
from integrations.spreadsheets.sheet_statuses import status_of
from integrations.spreadsheets.sheet_times import moment
from integrations.spreadsheets.sheet_values import CellWrong, fen, identity, phone, quantity, text
from models.intake import PlatformStatus

HALF_PAST_NOON = datetime(2026, 11, 1, 4, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "cell",
    [
        "2026-11-01 12:30:00",
        "2026-11-01T12:30:00",
        "2026/11/1 12:30",
        "2026.11.01 12:30",
        "2026年11月1日 12时30分",
        "2026年11月01日12:30:00",
        "2026年11月1日 星期日 12:30",
        "2026/11/1 下午 12:30:00",
        "2026-11-01 12:30:00.000",
        "20261101123000",
        "2026-11-01T04:30:00Z",
        "2026-11-01 04:30:00 UTC",
        "2026-11-01 12:30:00 +0800",
        "2026-11-01T13:30:00+09:00",
        "46327.520833333336",
        "Nov 1, 2026 12:30 PM",
        "November 1, 2026, 12:30:00",
        "1 Nov 2026 12:30",
        "1-Nov-2026 12:30",
        "２０２６-１１-０１ １２:３０:００",
    ],
)
def test_dates_in_their_usual_forms_are_one_moment(cell: str) -> None:
    assert moment(cell) == HALF_PAST_NOON


@pytest.mark.parametrize("cell", ["2026-11-01", "2026/11/1", "2026年11月1日", "46327", "20261101"])
def test_a_date_without_a_time_is_midnight_in_shanghai(cell: str) -> None:
    assert moment(cell) == datetime(2026, 10, 31, 16, 0, tzinfo=UTC)


def test_day_and_month_in_either_order_need_a_word_unless_one_of_them_is_no_month() -> None:
    with pytest.raises(CellWrong, match="日在前"):
        moment("03/04/2026")

    assert moment("03/04/2026", day_first=True) == moment("2026-04-03")
    assert moment("03/04/2026", day_first=False) == moment("2026-03-04")
    assert moment("11/30/2026 9:05 PM") == moment("2026-11-30 21:05")
    assert moment("30.11.2026 12:05 AM") == moment("2026-11-30 00:05")
    assert moment("4/4/2026") == moment("2026-04-04")


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("昨天", "不是日期时间"),
        ("12:30", "不是日期时间"),
        ("1793507400000", "不是日期时间"),
        ("2026-02-30", "没有这个日期"),
        ("2026-11-01 25:00", "没有这个日期"),
        ("26/11/1 12:30", "四位"),
        ("1899-11-01", "2000 到 2100"),
        ("2026-11-0112:30", "不是日期时间"),
        ("13/13/2026", "没有这个日期|分不清"),
    ],
)
def test_what_is_no_date_is_refused_with_a_sentence(cell: str, why: str) -> None:
    with pytest.raises(CellWrong, match=why):
        moment(cell)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1234.5", 123450),
        ("¥1,234.50", 123450),
        ("￥1,234.50", 123450),
        ("1234.5元", 123450),
        ("CNY 12", 1200),
        ("RMB12.3", 1230),
        ("１２．３０", 1230),
        ("(12.00)", -1200),
        ("-12", -1200),
        ("-¥12.00", -1200),
        ("0", 0),
        ("89.990000000000009", 8999),
        ("12.5000", 1250),
        ("1,234,567.89", 123456789),
        ("+5", 500),
    ],
)
def test_amounts_are_fen(cell: str, expected: int) -> None:
    assert fen(cell) == expected


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("1.234,50", "不一致"),
        ("1,23", "不一致"),
        ("12.345", "三位小数"),
        ("12.3456", "零头"),
        ("$12", "不是人民币"),
        ("12 USD", "不是人民币"),
        ("十二", "不是金额"),
        ("--5", "不是金额"),
        ("=1+1", "不是金额"),
        ("1e5", "不是金额"),
        ("12.00.1", "不是金额"),
    ],
)
def test_what_is_no_amount_is_refused(cell: str, why: str) -> None:
    with pytest.raises(CellWrong, match=why):
        fen(cell)


def test_a_column_with_decimal_commas_is_read_so() -> None:
    assert [fen(cell, decimal_comma=True) for cell in ("1.234,50", "12", "0,5", "1.234", "7,00元")] == [
        123450, 1200, 50, 123400, 700,
    ]  # fmt: skip
    with pytest.raises(CellWrong, match="不一致"):
        fen("1,234.50", decimal_comma=True)


@pytest.mark.parametrize(("cell", "expected"), [("2", 2), ("2.0", 2), ("2件", 2), ("x3", 3), ("２ 包", 2), ("-1", -1)])
def test_quantities(cell: str, expected: int) -> None:
    assert quantity(cell) == expected


@pytest.mark.parametrize("cell", ["1.5", "两件", "2箱", "", "=2", "99999999999"])
def test_what_is_no_whole_number_is_refused(cell: str) -> None:
    with pytest.raises(CellWrong, match="整数"):
        quantity(cell)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("13800138000", "13800138000"),
        ("13800138000.0", "13800138000"),
        ("1.3800138001E+10", "13800138001"),
        ("'13800138000", "13800138000"),
        ('="13800138000"', "13800138000"),
        ("+86 138-0013-8000", "13800138000"),
        ("8613800138000", "13800138000"),
        ("１３８００１３８０００", "13800138000"),
        ("138****8000", "138****8000"),
        ("18412345678-1234", "18412345678-1234"),
        ("021-61234567", "021-61234567"),
    ],
)
def test_phones_are_repaired_where_nothing_is_lost(cell: str, expected: str) -> None:
    assert phone(cell) == expected


def test_a_phone_that_lost_its_digits_is_refused() -> None:
    with pytest.raises(CellWrong, match="已丢失"):
        phone("1.38E+10")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("4781234567890123456", "4781234567890123456"),
        ('="4781234567890123456"', "4781234567890123456"),
        ("'4781234567890123456", "4781234567890123456"),
        ("231101-123456789012345", "231101-123456789012345"),
        ("#1001", "#1001"),
        ("1001.0", "1001"),
        ("\t4781234567890123456\u200b ", "4781234567890123456"),
        ("123456000", "123456000"),
    ],
)
def test_ids_stay_as_they_are(cell: str, expected: str) -> None:
    assert identity(cell, ids_checked=False) == expected


@pytest.mark.parametrize("cell", ["4781234567890120000", "4780000000000000000", "4.78E+18", "4.78123456789012e+18"])
def test_ids_that_were_rounded_are_refused(cell: str) -> None:
    with pytest.raises(CellWrong, match="文本格式"):
        identity(cell, ids_checked=False)


def test_an_id_that_ends_in_zeros_is_taken_when_a_person_has_checked() -> None:
    assert identity("4781234567890120000", ids_checked=True) == "4781234567890120000"
    with pytest.raises(CellWrong):
        identity("4.78E+18", ids_checked=True)


def test_text_keeps_what_looks_like_a_formula_and_loses_only_the_marks_of_our_reports() -> None:
    assert text("=1+1") == "=1+1"
    assert text("'=1+1") == "=1+1"
    assert text("'-5") == "-5"
    assert text("'tis") == "'tis"
    with pytest.raises(CellWrong, match="没有算出"):
        text("#N/A")
    with pytest.raises(CellWrong, match="没有显示"):
        text("########")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("待发货", PlatformStatus.TO_SHIP),
        ("买家已付款，等待卖家发货", PlatformStatus.TO_SHIP),
        (" Paid ", PlatformStatus.TO_SHIP),
        ("等待买家付款", PlatformStatus.AWAITING_PAYMENT),
        ("已发货，待签收", PlatformStatus.SHIPPED),
        ("交易成功", PlatformStatus.COMPLETE),
        ("已取消", PlatformStatus.CANCELLED),
        ("交易关闭", PlatformStatus.CANCELLED),
        ("cancelled", PlatformStatus.CANCELLED),
        ("退款成功", PlatformStatus.REFUNDED),
        ("未发货，退款成功", PlatformStatus.REFUNDED),
        ("refunded", PlatformStatus.REFUNDED),
        ("partially_fulfilled", PlatformStatus.PART_SHIPPED),
        ("退款中", PlatformStatus.HELD),
        ("无售后或售后取消", None),
        ("unfulfilled", None),
        ("客服处理", PlatformStatus.HELD),
    ],
)
def test_status_words(word: str, expected: PlatformStatus | None) -> None:
    assert status_of(word, {"客服处理": "held"}) == expected


def test_an_unknown_status_is_never_guessed() -> None:
    with pytest.raises(CellWrong, match="不认识"):
        status_of("partially_refunded", {})


def test_addresses_of_every_known_place_are_taken_apart_in_every_way_of_writing() -> None:
    streets = ("李路184号27栋3单元2001室", "中山东路小区12号", "人民街道社区服务中心", "镇前街5号", "科技园区3栋")
    short = {full: name for name, full in PROVINCES.items() if name != full}
    wrong = []
    for place in PLACES:
        for district in place.districts:
            for street in streets:
                expected = Place(place.province, place.city, district, street)
                same = place.province == place.city
                forms = [
                    f"{place.province}{place.city}{district}{street}",
                    f"{place.province} {place.city} {district} {street}",
                    f"{short[place.province]}{'' if same else place.city}{district}{street}",
                    f"{short[place.province]} {place.city} {district} {street}",
                    f"中国{place.province}{place.city}{district}{street}(230000)",
                ]
                wrong += [form for form in forms if split_address(form) != expected]
    assert wrong == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("吉林省 通化市 柳河县 柳河镇紫御府   七号楼(135300)", ("吉林省", "通化市", "柳河县", "柳河镇紫御府 七号楼")),
        ("广东省东莞市南城街道鸿福社区5号", ("广东省", "东莞市", "", "南城街道鸿福社区5号")),
        ("北京市市辖区朝阳区建国路1号", ("北京市", "北京市", "朝阳区", "建国路1号")),
        ("重庆市县云阳县双江街道1号", ("重庆市", "重庆市", "云阳县", "双江街道1号")),
        ("上海上海市浦东新区世纪大道1号", ("上海市", "上海市", "浦东新区", "世纪大道1号")),
        ("湖北省恩施土家族苗族自治州恩施市舞阳坝街道", ("湖北省", "恩施土家族苗族自治州", "恩施市", "舞阳坝街道")),
        ("海南省陵水黎族自治县椰林镇", ("海南省", "陵水黎族自治县", "", "椰林镇")),
        ("浙江省杭州市文三路478号华星时代广场", ("浙江省", "杭州市", "", "文三路478号华星时代广场")),
        ("内蒙古锡林郭勒盟锡林浩特市希日塔拉街道", ("内蒙古自治区", "锡林郭勒盟", "锡林浩特市", "希日塔拉街道")),
        ("江苏省苏州市苏州工业园区星湖街328号", ("江苏省", "苏州市", "苏州工业园区", "星湖街328号")),
        ("河南省新乡市新乡县七里营镇", ("河南省", "新乡市", "新乡县", "七里营镇")),
    ],
)
def test_odd_addresses_are_taken_apart(address: str, expected: tuple[str, str, str, str]) -> None:
    assert split_address(address) == expected


@pytest.mark.parametrize(
    ("address", "lacks"), [("苏州市吴中区x路", "省份"), ("吉林市昌邑区x", "省份"), ("江苏省中山路5号", "城市")]
)
def test_an_address_without_province_or_city_is_refused(address: str, lacks: str) -> None:
    with pytest.raises(CellWrong, match=lacks):
        split_address(address)


def test_a_street_that_repeats_the_place_is_written_once() -> None:
    assert without_places("云南省昆明市盘龙区佛寺", "云南省", "昆明市", "盘龙区") == "佛寺"
    assert without_places("上海市黄浦区南京东路1号", "上海市", "上海市", "黄浦区") == "南京东路1号"
    assert without_places("上海市场路12号", "上海市", "上海市", "黄浦区") == "上海市场路12号"


@pytest.mark.parametrize(
    ("question", "cell", "header", "expected"),
    [
        ("species", "狗", "物种", "dog"),
        ("species", "仓鼠", "物种", "仓鼠"),
        ("neutered", "是", "绝育", "true"),
        ("neutered", "未绝育", "绝育", "false"),
        ("weight_kg", "11.5kg", "体重", "11.5"),
        ("weight_kg", "23斤", "体重", "11.5"),
        ("weight_kg", "23", "体重(斤)", "11.5"),
        ("weight_kg", "23", "体重(公斤)", "23"),
        ("weight_kg", "很胖", "体重", "很胖"),
        ("birth_date", "2022年6月1日", "生日", "2022-06-01"),
        ("birth_date", "三岁", "生日", "三岁"),
        ("allergens", "无", "过敏原", "无"),
        ("allergens", "鸡肉、蛋", "过敏原", "鸡肉、蛋"),
    ],
)
def test_pet_answers_become_codes(question: str, cell: str, header: str, expected: str) -> None:
    assert answer_of(question, cell, header) == expected


def test_excel_serials_keep_their_seconds() -> None:
    assert moment("46327.00001157407") - moment("46327") == timedelta(seconds=1)
