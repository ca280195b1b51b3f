"""Status words of exports in the hub's words. An unknown word is never guessed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from integrations.spreadsheets.sheet_values import CellWrong
from models.intake import PlatformStatus

#: Words of Taobao, JD, PDD, Douyin, Youzan and Shopify exports and of hand-made sheets; marks and blanks do not count.
WORDS: dict[PlatformStatus, tuple[str, ...]] = {
    PlatformStatus.AWAITING_PAYMENT: (
        "待付款", "等待买家付款", "等待付款", "未付款", "待支付", "未支付", "等待付款确认", "pending",
        "unpaid", "awaiting payment", "pending payment",
    ),
    PlatformStatus.HELD: (
        "退款中", "售后中", "退款处理中", "售后处理中", "申请退款", "待商家处理", "退货退款中", "挂起",
        "锁定", "已锁定", "审核中", "待审核", "暂停", "暂停发货", "等待成团", "待成团", "拼团中",
        "authorized", "on hold", "on_hold", "scheduled", "held",
    ),
    PlatformStatus.TO_SHIP: (
        "待发货", "买家已付款等待卖家发货", "等待卖家发货", "等待发货", "已付款", "已支付", "付款成功",
        "待出库", "等待出库", "备货中", "未发货", "已接单", "待配送", "待处理", "paid", "processing",
        "to ship", "to_ship", "awaiting shipment", "awaiting_shipment", "ready to ship",
    ),
    PlatformStatus.PART_SHIPPED: (
        "部分发货", "卖家部分发货", "部分出库", "partial", "partially fulfilled", "partially_fulfilled",
        "partially shipped", "part_shipped",
    ),
    PlatformStatus.SHIPPED: (
        "已发货", "卖家已发货等待买家确认", "已发货待签收", "待收货", "待签收", "已出库", "等待确认收货",
        "运输中", "配送中", "fulfilled", "shipped", "in transit",
    ),
    PlatformStatus.COMPLETE: (
        "交易成功", "交易完成", "已完成", "完成", "已签收", "已收货", "确认收货", "complete", "completed",
        "delivered", "closed complete",
    ),
    PlatformStatus.CANCELLED: (
        "已取消", "取消", "交易关闭", "已关闭", "关闭", "订单关闭", "订单取消", "交易取消", "作废", "已作废",
        "付款前交易关闭", "cancelled", "canceled", "voided", "void", "closed", "expired",
    ),
    PlatformStatus.REFUNDED: (
        "退款成功", "已退款", "全额退款", "退货退款成功", "仅退款成功", "已全额退款", "未发货退款成功",
        "已发货退款成功", "已收货退款成功", "付款后交易关闭", "退款完成", "refunded",
    ),
}  # fmt: skip

#: What a column of after-sales states says when there is none: nothing about the order.
SILENT = (
    "无", "无售后", "无售后或售后取消", "没有申请退款", "未申请退款", "无退款", "未退款", "售后关闭",
    "售后取消", "退款关闭", "订单未关闭", "unfulfilled", "none", "no", "否", "-", "--", "——",
)  # fmt: skip

#: Of several status columns, the one that says this weighs most.
_WEIGHT = {
    status: weight
    for weight, status in enumerate(
        (
            PlatformStatus.AWAITING_PAYMENT,
            PlatformStatus.TO_SHIP,
            PlatformStatus.PART_SHIPPED,
            PlatformStatus.SHIPPED,
            PlatformStatus.COMPLETE,
            PlatformStatus.HELD,
            PlatformStatus.CANCELLED,
            PlatformStatus.REFUNDED,
        )
    )
}
_LONGEST = 80
_MARKS = re.compile(r"[\s,.;:、。!()\[\]_/\-]+")


def folded_status(word: str) -> str:
    """A status word without case, blanks and marks."""
    return _MARKS.sub("", unicodedata.normalize("NFKC", word).casefold())


_KNOWN: dict[str, PlatformStatus | None] = {
    **{folded_status(word): None for word in SILENT if folded_status(word)},
    **{folded_status(word): status for status, words in WORDS.items() for word in words},
}


def status_of(word: str, further: Mapping[str, str]) -> PlatformStatus | None:
    """What a status word means, None when it says nothing. `further` are the mapping's own words.

    Raises `CellWrong` for a word that nobody has explained.
    """
    if word in further:
        return PlatformStatus(further[word])
    folded = folded_status(word[:_LONGEST])
    if len(word) < _LONGEST and (folded in _KNOWN or not folded):
        return _KNOWN.get(folded)
    raise CellWrong("不认识这个状态:请在列的对应关系里说明它是什么意思")


def weightiest(found: Iterable[PlatformStatus]) -> PlatformStatus | None:
    """The status that decides among those that several columns say."""
    return max(found, key=_WEIGHT.__getitem__, default=None)
