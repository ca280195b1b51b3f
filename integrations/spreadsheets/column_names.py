"""What exports call their columns: Taobao and Tmall, JD, PDD, Douyin, Youzan, Shopify, ERPs and hand-made sheets."""

from __future__ import annotations

import re
import unicodedata

#: Names that say which field it is, the more telling first: beside 买家实际支付金额, 总金额 is only second choice.
NAMES: dict[str, tuple[str, ...]] = {
    "order_id": (
        "主订单编号", "主订单号", "订单编号", "订单号", "平台订单号", "线上订单号", "原始单号", "交易编号",
        "交易号", "外部订单号", "订单id", "order id", "order number", "order no", "orderid", "order_no",
        "order_sn", "order name",
    ),
    "shop": (
        "店铺名称", "归属店铺", "店铺", "子店铺", "网店名称", "shop", "store", "shop name", "store name",
    ),
    "status": (
        "订单状态", "交易状态", "平台状态", "订单商品状态", "订单状态描述", "售后状态", "退款状态",
        "订单退款状态", "商品退款状态", "履约售后状态", "order status", "financial status",
        "fulfillment status", "payment status", "refund status",
    ),
    "placed_at": (
        "下单时间", "订单创建时间", "订单提交时间", "创建时间", "买家下单时间", "拍下时间", "交易时间",
        "订单时间", "下单日期", "订单日期", "订单成交时间", "拼单成功时间", "成交时间", "created at",
        "order date", "order time", "placed at", "date created", "created time",
    ),
    "paid_at": (
        "付款时间", "订单付款时间", "支付时间", "支付完成时间", "买家付款时间", "付款确认时间", "付款日期",
        "paid at", "payment time", "payment date", "date paid", "paid time",
    ),
    "updated_at": (
        "更新时间", "修改时间", "最后修改时间", "最近更新时间", "updated at", "last modified", "modified at",
    ),
    "cancelled_at": ("取消时间", "订单取消时间", "cancelled at", "canceled at"),
    "order_total": (
        "订单总额", "订单实付金额", "买家实际支付金额", "买家实付金额", "用户实付金额", "订单应付金额",
        "应收订单金额", "应付金额", "实付款", "订单金额", "订单总金额", "总金额", "合计应收", "total",
        "order total", "grand total", "order amount", "total price",
    ),
    "freight": (
        "运费", "邮费", "买家应付邮费", "运费金额", "应收邮资", "配送费", "快递费", "shipping",
        "shipping fee", "shipping cost", "freight", "postage", "shipping price", "shipping amount",
    ),
    "discount": (
        "订单优惠", "优惠金额", "优惠总金额", "店铺优惠合计", "店铺优惠折扣", "整单优惠", "订单优惠金额",
        "discount amount", "discount", "order discount", "discounts",
    ),
    "buyer": (
        "买家会员名", "买家账号", "买家id", "下单帐号", "下单账号", "买家昵称", "客户id", "会员名", "用户id",
        "买家旺旺", "店铺买家帐号", "email", "customer id", "buyer", "buyer id", "buyer username",
        "customer email",
    ),
    "name": (
        "收货人姓名", "收件人姓名", "收货人", "收件人", "收货人提货人", "客户姓名", "收货人名称", "联系人",
        "shipping name", "receiver", "recipient", "receiver name", "recipient name", "consignee",
        "ship to name",
    ),
    "phone": (
        "收货人手机号", "收件人手机号", "联系手机", "收货人手机号提货人手机号", "收货人电话", "收件人电话",
        "收件人手机", "收货人手机", "手机号", "手机号码", "手机", "联系电话", "联系方式", "电话",
        "shipping phone", "phone", "receiver phone", "mobile", "recipient phone", "phone number", "tel",
    ),
    "province": (
        "收货人省份", "收货省份", "收货省", "收件省", "收件人省份", "省份", "省", "shipping province",
        "province", "shipping province name", "state", "shipping state",
    ),
    "city": (
        "收货人城市", "收货城市", "收货市", "收件市", "收件人城市", "城市", "市", "地级市", "shipping city",
        "city",
    ),
    "district": (
        "收货人地区", "收货区", "收货区县", "收件区", "区县", "区", "县区", "收件人区县", "district",
        "county", "shipping district",
    ),
    "street": (
        "详细地址", "收货人具体地址", "详细收货地址提货地址", "详细收货地址", "街道", "街道地址", "收货街道",
        "乡镇街道", "shipping address1", "shipping address2", "street", "street address", "address line 1",
        "address line 2",
    ),
    "address": (
        "收货地址", "收件地址", "收货人地址", "收件人地址", "客户地址", "完整地址", "收货详细地址", "地址",
        "修改后的收货地址", "shipping address", "full address", "address", "delivery address",
    ),
    "note": (
        "买家留言", "买家备注", "客户留言", "买家附言", "客户备注", "顾客备注", "buyer note",
        "buyer message", "customer note", "notes", "note", "留言", "备注", "订单备注",
    ),
    "line_id": (
        "子订单编号", "子订单号", "商品订单编号", "明细编号", "line id", "lineitem id", "sub order id",
    ),
    "sku": (
        "商家编码规格维度", "商家编码sku维度", "规格编码", "sku编码", "sku", "商家sku", "商家编码",
        "外部系统编号", "商家编码商品维度", "商品编码", "商品货号", "货号", "商品sku", "规格货号", "sku编号",
        "条码", "商品条码", "lineitem sku", "item sku", "variant sku", "product code", "item code",
        "seller sku", "barcode",
    ),
    "title": (
        "商品名称", "宝贝标题", "商品标题", "选购商品", "商品", "标题", "全部商品名称", "品名", "货品名称",
        "产品名称", "lineitem name", "product name", "item name", "product", "title", "item title",
    ),
    "quantity": (
        "商品数量", "购买数量", "订购数量", "宝贝数量", "数量", "件数", "宝贝总数量", "购买件数", "商品件数",
        "lineitem quantity", "quantity", "qty", "item quantity", "units",
    ),
    "unit_price": (
        "商品单价", "单价", "销售单价", "商品价格", "京东价", "价格", "售价", "lineitem price", "unit price",
        "price", "item price",
    ),
    "line_paid": (
        "商品实际成交金额", "本行实付", "实付金额", "商品实付金额", "行实付", "商品实付", "分摊后金额",
        "买家应付货款", "货款金额", "成交金额", "line total", "line paid", "item total", "lineitem total",
        "amount paid",
    ),
    "line_discount": ("本行优惠", "商品优惠", "行优惠", "商品优惠金额", "lineitem discount", "line discount"),
    "pet.name": ("宠物名", "宠物名字", "宠物姓名", "宠物昵称", "宝贝名字", "pet name"),
    "pet.species": ("宠物物种", "物种", "宠物种类", "宠物类型", "猫狗", "species", "pet species", "pet type"),
    "pet.breed": ("品种", "宠物品种", "犬种", "猫种", "breed", "pet breed"),
    "pet.birth_date": (
        "宠物生日", "生日", "出生日期", "宠物出生日期", "birth date", "birthday", "pet birthday", "dob",
    ),
    "pet.weight_kg": ("体重", "宠物体重", "weight", "weight kg", "pet weight"),
    "pet.activity_level": ("活动量", "运动量", "activity", "activity level"),
    "pet.staple_preference": ("主食偏好", "主粮偏好", "喂食偏好", "staple", "staple preference"),
    "pet.allergens": ("过敏原", "过敏", "过敏食材", "忌口", "allergens", "allergies"),
    "pet.neutered": ("绝育", "是否绝育", "neutered", "spayed neutered"),
    "pet.body_condition": ("体况", "体型", "胖瘦", "body condition"),
    "pet.health_notes": ("健康备注", "健康状况", "健康情况", "病史", "health notes", "health"),
}  # fmt: skip

#: Names that only may be the field: the values have to say so too.
WEAK_NAMES: dict[str, tuple[str, ...]] = {
    "order_id": ("name", "id", "编号", "单号"),
    "status": ("状态", "status", "state"),
    "placed_at": ("时间", "日期", "date", "time"),
    "name": ("姓名", "name", "客户", "客户名称", "买家姓名", "customer", "customer name"),
    "phone": ("买家手机号", "联系方式提货人"),
    "line_paid": ("金额", "小计", "商品金额小计", "amount"),
    "unit_price": ("商品金额",),
    "sku": ("编码", "商品id", "商品编号", "code", "型号", "product id"),
    "title": ("名称", "产品", "商品信息", "item"),
    "order_total": ("商家实收金额", "实收金额", "实收款", "支付金额", "付款金额", "结算金额"),
    "buyer": ("买家", "会员", "用户", "买家支付宝账号"),
}

#: Columns of exports that say nothing about what is to be sent to whom.
NOISE = (
    "序号", "行号", "原因", "物流单号", "快递单号", "运单号", "物流公司", "快递公司", "发货时间",
    "确认收货时间", "订单完成时间", "交易成功时间", "发票抬头", "发票类型", "发票内容", "发票金额",
    "支付方式", "付款方式", "支付单号", "支付流水号", "运送方式", "商家备注", "卖家备注", "商家订单备注",
    "旗帜颜色", "订单类型", "订单来源", "是否手机订单", "店铺id", "返点积分", "买家支付积分",
    "买家实际支付积分", "卖家服务费", "买家服务费", "退款金额", "订单已退款金额", "宝贝种类", "商品种类数",
    "身份证号", "邮编", "currency", "tags", "vendor", "risk level", "source", "taxes", "payment method",
    "payment reference", "shipping method", "shipping zip", "shipping country", "fulfilled at",
    "accepts marketing", "discount code", "refunded amount", "lineitem fulfillment status",
    "lineitem requires shipping", "lineitem taxable", "lineitem compare at price", "outstanding balance",
    "employee", "subtotal", "shipping street", "shipping company", "location", "device id",
)  # fmt: skip

_BRACKETS = re.compile(r"\(.*?\)|\[.*?\]|【.*?】")
_MARKS = re.compile(r"[\s_\-*::#./、]+")


def folded(title: str) -> str:
    """A column's name without case, blanks, marks and what stands in brackets: 「商品数量(件)*」 is 商品数量."""
    plain = _BRACKETS.sub("", unicodedata.normalize("NFKC", title[:100]).casefold())
    return _MARKS.sub("", plain)


def _by_name(table: dict[str, tuple[str, ...]]) -> dict[str, list[tuple[str, int]]]:
    found: dict[str, list[tuple[str, int]]] = {}
    for target, names in table.items():
        for place, name in enumerate(names):
            found.setdefault(folded(name), []).append((target, place))
    return found


#: Folded name → the fields that it names, each with its place among the field's names (0 is the most telling).
SURE = _by_name(NAMES)
WEAK = _by_name(WEAK_NAMES)
SILENT = frozenset(map(folded, NOISE))


def is_known(title: str) -> bool:
    """Whether exports call a column so."""
    name = folded(title)
    return name in SURE or name in WEAK or is_silent(title)


def is_silent(title: str) -> bool:
    """Whether a column by this name says nothing about what is to be sent to whom."""
    return folded(title) in SILENT or folded(title).startswith("billing")
