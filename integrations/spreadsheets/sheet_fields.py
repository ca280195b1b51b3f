"""What a column of an order sheet can be: the fields of an order, of its lines, and of the pet that it is for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Whether a value belongs to the whole order (the same on all its rows) or to one line."""

    ORDER = "order"
    LINE = "line"


class Kind(StrEnum):
    """How the text of a cell is read."""

    TEXT = "text"
    ID = "id"
    TIME = "time"
    MONEY = "money"
    QUANTITY = "quantity"
    PHONE = "phone"
    STATUS = "status"


@dataclass(frozen=True)
class Field:
    """A target of the mapping. Of a `shared` field there may be several columns; any other has one at most."""

    code: str
    zh: str
    level: Level
    kind: Kind = Kind.TEXT
    shared: bool = False


_ORDER, _LINE = Level.ORDER, Level.LINE
_ALL = (
    Field("order_id", "订单号", _ORDER, Kind.ID),
    Field("shop", "子店铺", _ORDER),
    Field("status", "订单状态", _ORDER, Kind.STATUS, shared=True),
    Field("placed_at", "下单时间", _ORDER, Kind.TIME),
    Field("paid_at", "付款时间", _ORDER, Kind.TIME),
    Field("updated_at", "更新时间", _ORDER, Kind.TIME),
    Field("cancelled_at", "取消时间", _ORDER, Kind.TIME),
    Field("order_total", "订单总额(含运费)", _ORDER, Kind.MONEY),
    Field("freight", "运费", _ORDER, Kind.MONEY),
    Field("discount", "整单优惠", _ORDER, Kind.MONEY),
    Field("buyer", "买家账号", _ORDER),
    Field("name", "收件人", _ORDER),
    Field("phone", "电话", _ORDER, Kind.PHONE),
    Field("province", "省", _ORDER),
    Field("city", "市", _ORDER),
    Field("district", "区县", _ORDER),
    Field("street", "详细地址", _ORDER, shared=True),
    Field("address", "完整地址(省市区在一格里)", _ORDER),
    Field("note", "买家留言", _ORDER),
    Field("line_id", "子订单号", _LINE, Kind.ID),
    Field("sku", "SKU 编码", _LINE, Kind.ID),
    Field("title", "商品名称", _LINE),
    Field("quantity", "数量", _LINE, Kind.QUANTITY),
    Field("unit_price", "单价", _LINE, Kind.MONEY),
    Field("line_paid", "本行实付", _LINE, Kind.MONEY),
    Field("line_discount", "本行优惠", _LINE, Kind.MONEY),
    Field("pet.name", "宠物名", _LINE),
    Field("pet.species", "宠物物种", _LINE),
    Field("pet.breed", "宠物品种", _LINE),
    Field("pet.birth_date", "宠物生日", _LINE),
    Field("pet.weight_kg", "宠物体重", _LINE),
    Field("pet.activity_level", "宠物活动量", _LINE),
    Field("pet.staple_preference", "宠物主食偏好", _LINE),
    Field("pet.allergens", "宠物过敏原", _LINE),
    Field("pet.neutered", "宠物绝育", _LINE),
    Field("pet.body_condition", "宠物体况", _LINE),
    Field("pet.health_notes", "宠物健康备注", _LINE),
)

#: Every field by its code.
FIELDS = {field.code: field for field in _ALL}
PET = "pet."
#: `attribute:颜色` keeps a column as the line's attribute 颜色, `order_attribute:主播` as the order's.
ATTRIBUTE = "attribute:"
ORDER_ATTRIBUTE = "order_attribute:"
IGNORE = "ignore"

#: What a mapping cannot do without: one of each set, all columns of it.
REQUIRED: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("订单号", (("order_id",),)),
    ("下单时间", (("placed_at",),)),
    ("SKU 编码", (("sku",),)),
    ("数量", (("quantity",),)),
    ("金额(单价、本行实付或订单总额)", (("unit_price",), ("line_paid",), ("order_total",))),
    ("收件人", (("name",),)),
    ("电话", (("phone",),)),
    ("地址(完整地址,或省、市和详细地址)", (("address",), ("province", "city", "street"))),
)


def target_field(target: str) -> Field | None:
    """The field that a target names, attributes included; None for `ignore`. Raises `KeyError` when it names none."""
    if target == IGNORE:
        return None
    for prefix, level in ((ATTRIBUTE, _LINE), (ORDER_ATTRIBUTE, _ORDER)):
        name = target.removeprefix(prefix).strip()
        if target.startswith(prefix) and name:
            return Field(target, name, level)
    return FIELDS[target]
