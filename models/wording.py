"""Words for people: time zone and names of stages and reasons, in Chinese and English."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

#: Where people read times.
TZ = ZoneInfo("Asia/Shanghai")

STAGE_WORDS = {
    "received": ("已接单", "received"),
    "reserved": ("已锁库存", "reserved"),
    "approved": ("已批准", "approved"),
    "produced": ("已备货", "ready to ship"),
    "shipped": ("已发货", "shipped"),
    "delivered": ("已签收", "delivered"),
    "closed": ("已完结", "closed"),
    "cancelled": ("已取消", "cancelled"),
    "refunded": ("已退款", "refunded"),
}

WAITING_WORDS = {
    "payment": ("等待付款", "payment"),
    "stock_check": ("等待仓库核对", "stock check"),
    "review": ("等待审核", "review"),
    "production": ("等待生产完成", "production"),
    "carrier": ("等待快递签收", "carrier"),
    "customer": ("等待客户补充资料", "customer"),
    "backorder": ("等待到货", "backorder"),
    "merge": ("等待合并发货", "shared parcel"),
    "refund": ("等待退款到账", "refund"),
    "retry": ("稍后自动重试", "retry"),
    "person": ("需要人工处理", "a person"),
}

CHANNEL_WORDS = {
    "shopify": ("Shopify", "Shopify"),
    "wechat_shop": ("微信小店", "WeChat shop"),
    "douyin": ("抖店", "Douyin"),
    "taobao": ("淘宝", "Taobao"),
    "jd": ("京东", "JD"),
    "pinduoduo": ("拼多多", "Pinduoduo"),
    "spreadsheet": ("表格", "Spreadsheet"),
}

#: The status of an order on its channel (`models.intake.PlatformStatus`).
PLATFORM_STATUS_WORDS = {
    "awaiting_payment": ("待付款", "awaiting payment"),
    "held": ("平台冻结", "held by the platform"),
    "to_ship": ("待发货", "to ship"),
    "part_shipped": ("部分发货", "part shipped"),
    "shipped": ("已发货", "shipped"),
    "complete": ("已完成", "complete"),
    "cancelled": ("已取消", "cancelled"),
    "refunded": ("已退款", "refunded"),
    "unknown": ("未知", "unknown"),
}

#: Whether something came back that was called back.
STOPPED_WORDS = {True: ("已撤回", "stopped"), False: ("撤不回", "could not be stopped")}

#: What is known of a window that was read, and what it was read for.
WINDOW_WORDS = {
    "reading": ("正在读", "being read"),
    "whole": ("齐全", "whole"),
    "gap": ("有缺口,会再拉", "a gap, pulled again"),
    "unexplained": ("缺口多次未补上,请人工核对", "still missing: a person has to look"),
    "explained": ("缺口已有解释", "gap explained"),
    "failed": ("没有读完", "not read to its end"),
}
WINDOW_WHY_WORDS = {
    "pull": ("定时", "pull"),
    "second_look": ("复查", "second look"),
    "backfill": ("补拉", "backfill"),
}

#: Why an order is in quarantine, by the rule's code.
FAULT_WORDS = {
    "unreadable": ("读不懂", "a payload that cannot be read"),
    "id_missing": ("没有订单号", "no usable channel order id"),
    "no_lines": ("没有商品行", "no lines"),
    "too_many_lines": ("商品行太多", "too many lines"),
    "currency": ("币种不对", "not in CNY"),
    "time_in_future": ("下单时间在将来", "ordered in the future"),
    "unknown_sku": ("SKU 不在商品表", "a SKU that is not in the catalogue"),
    "bad_quantity": ("数量不对", "a quantity that cannot be"),
    "negative_money": ("金额不合理", "an amount that cannot be"),
    "money_mismatch": ("金额对不上", "amounts that do not add up"),
    "refund_mismatch": ("退款对不上", "a refund that cannot be"),
    "address_missing": ("地址不全", "an incomplete address"),
    "text_too_long": ("文字太长", "a text that is too long"),
    "control_characters": ("有控制字符", "control characters in a text"),
    "emoji": ("有表情符号", "emoji in the address"),
    "cannot_be_written": ("写入出错", "could not be written"),
}

#: What a recipe says of its nutrients, in percent as fed.
NUTRIENT_WORDS = {
    "protein": ("粗蛋白", "protein"),
    "fat": ("粗脂肪", "fat"),
    "fibre": ("粗纤维", "fibre"),
    "moisture": ("水分", "moisture"),
    "ash": ("粗灰分", "ash"),
    "calcium": ("钙", "calcium"),
    "phosphorus": ("磷", "phosphorus"),
    "taurine": ("牛磺酸", "taurine"),
}


def say(words: dict[str, tuple[str, str]], name: str | None, language: str = "zh") -> str:
    """The word for `name` in the language asked for; the name itself if there is none."""
    pair = words.get(name or "")
    return (name or "") if pair is None else pair[0 if language == "zh" else 1]


def local(moment: datetime) -> str:
    """A time as people read it: `11-22 14:05`."""
    return f"{moment.astimezone(TZ):%m-%d %H:%M}"


def yuan(fen: int) -> str:
    """Money as people read it: `1,234.50 元`."""
    return f"{fen / 100:,.2f} 元"
