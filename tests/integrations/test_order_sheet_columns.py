"""Which column is which: proposed from real exports' headers, confirmed by a person, saved as plain data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integrations.spreadsheets.mapping import Mapping, MappingWrong, header_key
from integrations.spreadsheets.order_sheet import propose
from tests.integrations.order_sheet_files import MAPPING, ORDER, csv_of, mapped, staged

NO_ROWS: list[list[str]] = []

EXPORTS = {
    "taobao": (
        "订单编号,买家会员名,买家支付宝账号,买家应付货款,买家应付邮费,总金额,买家实际支付金额,订单状态,买家留言,收货人姓名,"
        "收货地址,运送方式,联系电话,联系手机,订单创建时间,订单付款时间,宝贝标题,宝贝种类,物流单号,订单备注,宝贝总数量,店铺名称,"
        "订单关闭原因,商家编码",
        {
            "订单编号": "order_id",
            "买家会员名": "buyer",
            "买家应付邮费": "freight",
            "买家实际支付金额": "order_total",
            "总金额": "ignore",
            "订单状态": "status",
            "买家留言": "note",
            "收货人姓名": "name",
            "收货地址": "address",
            "联系手机": "phone",
            "联系电话": "ignore",
            "订单创建时间": "placed_at",
            "订单付款时间": "paid_at",
            "宝贝标题": "title",
            "宝贝总数量": "quantity",
            "商家编码": "sku",
            "物流单号": "ignore",
        },
    ),
    "jd": (
        "订单号,商品ID,商品名称,订购数量,支付方式,下单时间,京东价,订单金额,结算金额,应付金额,订单状态,订单类型,下单帐号,客户姓名,"
        "客户地址,联系电话,订单备注,发票类型,商家备注,运费金额,付款确认时间,货号",
        {
            "订单号": "order_id",
            "商品名称": "title",
            "订购数量": "quantity",
            "下单时间": "placed_at",
            "京东价": "unit_price",
            "应付金额": "order_total",
            "订单状态": "status",
            "下单帐号": "buyer",
            "客户姓名": "name",
            "客户地址": "address",
            "联系电话": "phone",
            "运费金额": "freight",
            "付款确认时间": "paid_at",
            "货号": "sku",
            "商家备注": "ignore",
        },
    ),
    "pdd": (
        "商品,订单号,订单状态,商品总价(元),邮费(元),店铺优惠折扣(元),平台优惠折扣(元),用户实付金额(元),商家实收金额(元),商品数量(件),"
        "收货人,手机,省,市,区,街道,订单成交时间,支付时间,商家编码-规格维度,商家编码-商品维度,售后状态,快递单号",
        {
            "商品": "title",
            "订单号": "order_id",
            "订单状态": "status",
            "售后状态": "status",
            "邮费(元)": "freight",
            "店铺优惠折扣(元)": "discount",
            "用户实付金额(元)": "order_total",
            "商家实收金额(元)": "ignore",
            "商品数量(件)": "quantity",
            "收货人": "name",
            "手机": "phone",
            "省": "province",
            "市": "city",
            "区": "district",
            "街道": "street",
            "订单成交时间": "placed_at",
            "支付时间": "paid_at",
            "商家编码-规格维度": "sku",
            "商家编码-商品维度": "ignore",
        },
    ),
    "douyin": (
        "主订单编号,子订单编号,选购商品,商品规格,商品数量,商家编码,商品单价,订单应付金额,运费,优惠总金额,支付方式,收件人,收件人手机号,"
        "省,市,区,街道,详细地址,买家留言,订单提交时间,商家备注,订单完成时间,支付完成时间,订单状态,售后状态",
        {
            "主订单编号": "order_id",
            "子订单编号": "line_id",
            "选购商品": "title",
            "商品数量": "quantity",
            "商家编码": "sku",
            "商品单价": "unit_price",
            "订单应付金额": "order_total",
            "收件人手机号": "phone",
            "街道": "street",
            "详细地址": "street",
            "订单提交时间": "placed_at",
            "支付完成时间": "paid_at",
            "订单状态": "status",
            "售后状态": "status",
        },
    ),
    "youzan": (
        "订单号,外部订单号,订单商品状态,订单创建时间,买家付款时间,商品名称,商品规格,规格编码,商品编码,商品单价,商品数量,商品金额小计,"
        "商品实际成交金额,收货人/提货人,收货人手机号/提货人手机号,收货人省份,收货人城市,收货人地区,详细收货地址/提货地址,买家备注,"
        "商品发货物流单号,商品退款状态,商家订单备注",
        {
            "订单号": "order_id",
            "订单商品状态": "status",
            "订单创建时间": "placed_at",
            "买家付款时间": "paid_at",
            "规格编码": "sku",
            "商品单价": "unit_price",
            "商品数量": "quantity",
            "商品实际成交金额": "line_paid",
            "收货人/提货人": "name",
            "收货人手机号/提货人手机号": "phone",
            "收货人省份": "province",
            "收货人城市": "city",
            "收货人地区": "district",
            "详细收货地址/提货地址": "street",
            "买家备注": "note",
            "商品退款状态": "status",
        },
    ),
    "shopify": (
        "Name,Email,Financial Status,Paid at,Fulfillment Status,Currency,Subtotal,Shipping,Taxes,Total,Discount Code,"
        "Discount Amount,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Lineitem discount,"
        "Billing Name,Billing Phone,Shipping Name,Shipping Address1,Shipping Address2,Shipping City,Shipping Province,"
        "Shipping Phone,Notes,Cancelled at,Id",
        {
            "Name": "order_id",
            "Email": "buyer",
            "Financial Status": "status",
            "Fulfillment Status": "status",
            "Paid at": "paid_at",
            "Subtotal": "ignore",
            "Shipping": "freight",
            "Total": "order_total",
            "Discount Amount": "discount",
            "Created at": "placed_at",
            "Lineitem quantity": "quantity",
            "Lineitem price": "unit_price",
            "Lineitem sku": "sku",
            "Lineitem discount": "line_discount",
            "Billing Name": "ignore",
            "Shipping Name": "name",
            "Shipping Address1": "street",
            "Shipping Address2": "street",
            "Shipping Province": "province",
            "Shipping Phone": "phone",
            "Cancelled at": "cancelled_at",
        },
    ),
}


@pytest.mark.parametrize("platform", EXPORTS)
def test_the_headers_of_real_exports_are_recognised(platform: str) -> None:
    headers, expected = EXPORTS[platform]

    proposal = propose(headers.split(","), NO_ROWS)

    assert {header: proposal.columns[header] for header in expected} == expected
    assert proposal.missing == ()


def test_every_guess_has_a_reason_and_values_count_more_than_names() -> None:
    headers = ["编号", "单据", "姓名", "电话", "x", "y", "z", "手机号"]
    row = [
        "X1001",
        "待发货",
        "赵玉珍",
        "吃了吗",
        "16000006978",
        "安徽省合肥市蜀山区李路1号2室",
        "2026-11-01 12:30",
        "a@b.cn",
    ]

    proposal = propose(headers, [row, row, row])
    found = {guess.header: guess for guess in proposal.guesses}

    assert found["编号"].target == "order_id" and found["姓名"].target == "name"
    assert found["x"].target == "phone" and "值像手机号" in found["x"].reason and found["x"].confidence == 0.6
    assert found["y"].target == "address" and found["z"].target == "placed_at" and found["单据"].target == "status"
    assert found["电话"].target == "ignore" or found["电话"].confidence < 0.5
    assert found["手机号"].target == "ignore"
    assert set(proposal.missing) == {"SKU 编码", "数量", "金额(单价、本行实付或订单总额)"}
    assert all(guess.reason for guess in proposal.guesses)


def test_pet_columns_are_answers_and_other_columns_attributes_but_nothing_personal() -> None:
    headers = [*ORDER, "宠物名", "品种", "体重(kg)", "是否绝育", "主播", "身份证", "邮箱", "空列"]
    row = [*ORDER.values(), "豆豆", "柯基犬", "11.5", "是", "小美", "340104199001011234", "a@b.cn", ""]

    columns = propose(headers, [row]).columns

    assert [columns[name] for name in headers[-8:]] == [
        "pet.name", "pet.breed", "pet.weight_kg", "pet.neutered", "attribute:主播", "ignore", "ignore", "ignore",
    ]  # fmt: skip


def test_nothing_is_used_before_a_person_confirmed_it() -> None:
    proposal = propose(list(ORDER), [list(ORDER.values())])

    with pytest.raises(MappingWrong, match="还没有人确认"):
        proposal.confirm("")
    assert proposal.confirm("wang.min").confirmed_by == "wang.min"
    assert proposal.columns == MAPPING


def test_a_proposal_notices_continuation_rows_and_a_missing_status() -> None:
    headers = [name for name in ORDER if name != "状态"]
    first = [ORDER[name] for name in headers]
    second = ["" if name != "SKU" else "CAT-1" for name in headers]

    proposal = propose(headers, [first, second])

    assert proposal.fill_down and proposal.default_status == "to_ship"
    assert any("续行" in note for note in proposal.notes)
    assert any("没有订单状态列" in note for note in proposal.notes)


def test_a_mapping_goes_through_json_and_stays_the_same() -> None:
    mapping = mapped(
        {"主播": "order_attribute:主播"}, fill_down=True, statuses={"客服处理": "held"}, date_order="day_first"
    )

    assert Mapping.from_json(json.loads(json.dumps(mapping.to_json()))) == mapping


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"columns": []}, "「columns」应是"),
        ({"columns": {**MAPPING, "备注": "remark"}}, "不认识的字段 'remark'"),
        ({"columns": {**MAPPING, "货号": "sku"}}, "有 2 列都对应到「SKU 编码」"),
        ({"columns": {key: value for key, value in MAPPING.items() if value != "phone"}}, "还没有指定哪一列是电话"),
        ({"columns": {**MAPPING, "x": "attribute:"}}, "不认识的字段"),
        ({"confirmed_by": " "}, "还没有人确认"),
        ({"default_status": "sent"}, "不认识的状态 'sent'"),
        ({"statuses": {"x": "unknown"}}, "不认识的状态 'unknown'"),
        ({"date_order": "ymd"}, "日期顺序"),
        ({"decimal": ";"}, "小数点"),
        ({"fill_down": "yes"}, "应是 true 或 false"),
        ({"extra": 1}, "不认识的设置「extra」"),
    ],
)
def test_a_mapping_that_cannot_be_used_says_why(change: dict[str, object], says: str) -> None:
    with pytest.raises(MappingWrong, match=says):
        Mapping.from_json({"columns": MAPPING, "confirmed_by": "wang.min", **change})


def test_a_mapping_for_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingWrong, match="没有「备注」这一列"):
        staged(csv_of(tmp_path / "a.csv", {}), mapped({"备注": "note"}))


def test_a_layout_is_known_by_its_columns_in_any_order_and_with_the_reasons_of_a_report() -> None:
    assert header_key(["订单号", "SKU"]) == header_key(["SKU", "订单号 ", "原因"])
    assert header_key(["订单号", "SKU"]) != header_key(["订单号", "SKU", "数量"])
    assert header_key(["备注", "x", "备注#2"]) != header_key(["x", "备注", "备注#2"])
    assert len(header_key(["订单号"])) == 16
