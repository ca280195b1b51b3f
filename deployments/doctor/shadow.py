"""Whether this is a shadow, and whether it has anything to read."""

from __future__ import annotations

from deployments.doctor.finding import Finding, fine, warning
from models.settings import Settings


def check_shadow(settings: Settings) -> list[Finding]:
    """Nothing for a live installation. A shadow says so; without a channel it has nothing to read."""
    if not settings.shadow:
        return []
    finding = fine(
        "shadow",
        "影子模式:只读真实渠道,不向外发送任何东西",
        "Shadow mode: real channels are read, nothing is sent anywhere",
    )
    channels = (
        settings.shopify.shop,
        settings.wechat_shop.app_id,
        settings.douyin.app_key,
        settings.taobao.app_key,
        settings.jd.app_key,
        settings.pinduoduo.client_id,
    )
    if any(channels):
        return [finding]
    nothing = warning(
        "shadow.channels",
        "影子模式没有渠道可读",
        "请在设置文件里至少填写一个渠道(如 shopify、wechat_shop、douyin)的凭证。",
        "The shadow has no channel to read. Give the credentials of at least one in the settings file.",
    )
    return [finding, nothing]
