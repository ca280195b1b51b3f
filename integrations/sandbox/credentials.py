"""The sandbox's own credentials, and the settings that point the real integrations at it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from integrations.sandbox.rsa_keys import private_text, public_text

#: Notification nodes that have an approved SMS template in the sandbox account.
NODES = (
    "paid",
    "approved",
    "in_production",
    "produced",
    "shipped",
    "out_for_delivery",
    "delivered",
    "exception",
    "backorder",
    "delayed",
    "refunded",
    "compensated",
    "cancelled",
    "question",
    "survey",
    "profile",
)


def _derived(name: str) -> bytes:
    """32 bytes that are the same on every start and belong to nothing but the sandbox."""
    return hashlib.sha256(f"orderloom sandbox {name}".encode()).digest()


def _hex(name: str, length: int = 32) -> str:
    return _derived(name).hex()[:length]


def _whsec(name: str) -> str:
    return "whsec_" + base64.b64encode(_derived(name)).decode()


@dataclass(frozen=True)
class Credentials:
    """What each platform of the sandbox knows its one account by. All of it is made up; RSA keys: `rsa_keys`."""

    shopify_shop: str = "orderloom-sandbox"
    shopify_token: str = "shpat_" + _hex("shopify token")
    shopify_client_id: str = _hex("shopify client")
    shopify_client_secret: str = "shpss_" + _hex("shopify secret")
    wechat_shop: str = "wx-sandbox"
    wechat_app_id: str = "wx" + _hex("wechat app", 16)
    wechat_app_secret: str = _hex("wechat secret")
    wechat_push_token: str = _hex("wechat push token")
    wechat_push_aes_key: str = base64.b64encode(_derived("wechat push aes key")).decode().rstrip("=")
    douyin_shop: str = "4463798"
    douyin_app_key: str = "7089614287562294791"
    douyin_app_secret: str = _hex("douyin secret")
    taobao_shop: str = "tb-sandbox"
    taobao_app_key: str = "34620001"
    taobao_app_secret: str = _hex("taobao secret")
    taobao_session: str = "6101" + _hex("taobao session", 52)
    jd_shop: str = "jd-sandbox"
    jd_app_key: str = _hex("jd app").upper()
    jd_app_secret: str = _hex("jd secret")
    jd_access_token: str = _hex("jd token")
    pinduoduo_shop: str = "pdd-sandbox"
    pinduoduo_client_id: str = _hex("pinduoduo client")
    pinduoduo_client_secret: str = _hex("pinduoduo secret", 40)
    pinduoduo_access_token: str = _hex("pinduoduo token", 40)
    sf_partner_id: str = "OLSANDBOX"
    sf_check_word: str = _hex("sf check word")
    sf_monthly_card: str = "7551234567"
    sf_digest: Literal["standard", "simple", "sm3"] = "standard"
    aliyun_key_id: str = "LTAI" + _hex("aliyun key", 20)
    aliyun_key_secret: str = _hex("aliyun secret", 30)
    aliyun_sign_name: str = "毛孩厨房"
    aliyun_templates: dict[str, str] = field(
        default_factory=lambda: {node: f"SMS_{4620000 + number}" for number, node in enumerate(NODES)}
    )
    wecom_robot_key: str = _hex("wecom robot")
    mes_secret: str = _whsec("mes")
    mes_callback_secret: str = _whsec("mes callback")
    alipay_app_id: str = "2021004620000001"
    wechat_pay_mchid: str = "1900462001"
    wechat_pay_serial: str = _hex("wechat pay merchant serial", 40).upper()
    wechat_pay_platform_serial: str = "PUB_KEY_ID_" + _hex("wechat pay platform serial")
    wechat_pay_api_v3_key: str = _hex("wechat pay api v3 key")
    warehouse_secret: str = _whsec("warehouse")


def settings_for_sandbox(
    port: int, portal_url: str, credentials: Credentials | None = None, *, more_channels: bool = False
) -> dict[str, Any]:
    """Nested settings for `models.settings.Settings` that connect the platforms to the sandbox on this port.

    `portal_url` becomes the public address, where the platforms' callbacks are expected. The demo sells in three shops;
    `more_channels` connects Taobao, JD and Pinduoduo too.
    """
    known = credentials or Credentials()
    base = f"http://127.0.0.1:{port}"
    return {
        "public_url": portal_url,
        "shopify": {
            "shop": known.shopify_shop,
            "base_url": f"{base}/shopify",
            "access_token": known.shopify_token,
            "client_id": known.shopify_client_id,
            "client_secret": known.shopify_client_secret,
        },
        "wechat_shop": {
            "shop": known.wechat_shop,
            "base_url": f"{base}/wechat",
            "app_id": known.wechat_app_id,
            "app_secret": known.wechat_app_secret,
            "push_token": known.wechat_push_token,
            "push_aes_key": known.wechat_push_aes_key,
        },
        "douyin": {
            "shop": known.douyin_shop,
            "base_url": f"{base}/douyin",
            "app_key": known.douyin_app_key,
            "app_secret": known.douyin_app_secret,
        },
        "sf_express": {
            "base_url": f"{base}/sf",
            "partner_id": known.sf_partner_id,
            "check_word": known.sf_check_word,
            "digest": known.sf_digest,
            "monthly_card": known.sf_monthly_card,
            "sender_phone": "13800000000",
            "sender_address": "科技园一路 1 号 3 号仓",
        },
        "aliyun_sms": {
            "base_url": f"{base}/aliyun",
            "access_key_id": known.aliyun_key_id,
            "access_key_secret": known.aliyun_key_secret,
            "sign_name": known.aliyun_sign_name,
            "templates": dict(known.aliyun_templates),
        },
        "wecom": {"base_url": f"{base}/wecom", "robot_key": known.wecom_robot_key},
        "mes": {
            "url": f"{base}/mes",
            "secret": known.mes_secret,
            "callback_secret": known.mes_callback_secret,
        },
        "alipay": {
            "base_url": f"{base}/alipay",
            "app_id": known.alipay_app_id,
            "private_key": private_text("alipay merchant"),
            "alipay_public_key": public_text("alipay platform"),
        },
        "wechat_pay": {
            "base_url": f"{base}/wechat_pay",
            "mchid": known.wechat_pay_mchid,
            "serial_no": known.wechat_pay_serial,
            "private_key": private_text("wechat_pay merchant"),
            "api_v3_key": known.wechat_pay_api_v3_key,
            "platform_keys": {known.wechat_pay_platform_serial: public_text("wechat_pay platform")},
        },
        "warehouse": {"callback_secret": known.warehouse_secret},
        **(_more_channels(base, known) if more_channels else {}),
    }


def _more_channels(base: str, known: Credentials) -> dict[str, Any]:
    return {
        "taobao": {
            "shop": known.taobao_shop,
            "base_url": f"{base}/taobao/router/rest",
            "app_key": known.taobao_app_key,
            "app_secret": known.taobao_app_secret,
            "session": known.taobao_session,
        },
        "jd": {
            "shop": known.jd_shop,
            "base_url": f"{base}/jd/routerjson",
            "app_key": known.jd_app_key,
            "app_secret": known.jd_app_secret,
            "access_token": known.jd_access_token,
        },
        "pinduoduo": {
            "shop": known.pinduoduo_shop,
            "base_url": f"{base}/pinduoduo/api/router",
            "client_id": known.pinduoduo_client_id,
            "client_secret": known.pinduoduo_client_secret,
            "access_token": known.pinduoduo_access_token,
        },
    }
