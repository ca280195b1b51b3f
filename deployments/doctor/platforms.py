"""Which platforms are connected, and what does not work without the others."""

from __future__ import annotations

from collections.abc import Callable

from deployments.doctor.finding import Finding, fine
from models.settings import Settings

#: Platform → its name in both languages, whether it has credentials, and what is missing without it, in both.
_PLATFORMS: dict[str, tuple[str, str, Callable[[Settings], object], str, str]] = {
    "shopify": ("Shopify", "Shopify", lambda s: s.shopify.shop, "不拉这个店的单", "its orders are not pulled"),
    "wechat_shop": ("微信小店", "WeChat shop", lambda s: s.wechat_shop.app_id, "不拉这个店的单", "no orders from it"),
    "douyin": ("抖店", "Douyin", lambda s: s.douyin.app_key, "不拉这个店的单", "no orders from it"),
    "taobao": ("淘宝", "Taobao", lambda s: s.taobao.app_key, "不拉这个店的单", "no orders from it"),
    "jd": ("京东", "JD", lambda s: s.jd.app_key, "不拉这个店的单", "no orders from it"),
    "pinduoduo": ("拼多多", "Pinduoduo", lambda s: s.pinduoduo.client_id, "不拉这个店的单", "no orders from it"),
    "sf_express": ("顺丰", "SF Express", lambda s: s.sf_express.partner_id, "出不了运单", "no waybills"),
    "aliyun_sms": ("阿里云短信", "Aliyun SMS", lambda s: s.aliyun_sms.access_key_id, "客户收不到短信", "no messages"),
    "mes": ("MES", "MES", lambda s: s.mes.url, "定制商品下发不了生产", "nothing is made to order"),
    "wecom": (
        "企业微信",
        "WeCom",
        lambda s: s.wecom.robot_key.get_secret_value(),
        "库存核对只在员工页面显示",
        "stock checks show on the staff pages only",
    ),
    "alipay": ("支付宝", "Alipay", lambda s: s.alipay.app_id, "付款以渠道的记录为准", "the channel's word is taken"),
    "wechat_pay": (
        "微信支付",
        "WeChat Pay",
        lambda s: s.wechat_pay.mchid,
        "付款以渠道的记录为准",
        "the channel's word is taken",
    ),
    "warehouse": (
        "仓库系统",
        "warehouse system",
        lambda s: s.warehouse.callback_secret.get_secret_value(),
        "库存核对由人在员工页面答复",
        "people answer stock checks on the staff pages",
    ),
}


def check_platforms(settings: Settings) -> list[Finding]:
    """One finding for each platform. None of them has to be there: what needs one waits and says so."""
    return [
        fine(f"platform.{name}", f"{zh}:已填凭证", f"{en}: has credentials")
        if connected(settings)
        else fine(f"platform.{name}", f"{zh}:未接,{without_zh}", f"{en}: not connected, {without_en}")
        for name, (zh, en, connected, without_zh, without_en) in _PLATFORMS.items()
    ]
