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
    "review": ("等待营养师审核", "nutritionist"),
    "production": ("等待生产完成", "production"),
    "carrier": ("等待快递签收", "carrier"),
    "customer": ("等待客户补充资料", "customer"),
    "backorder": ("等待到货", "backorder"),
    "retry": ("稍后自动重试", "retry"),
    "person": ("需要人工处理", "a person"),
}

CHANNEL_WORDS = {
    "shopify": ("Shopify", "Shopify"),
    "wechat_shop": ("微信小店", "WeChat shop"),
    "douyin": ("抖店", "Douyin"),
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
