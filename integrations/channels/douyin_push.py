"""What Douyin 抖店 pushes to us: a JSON array of messages, verified as a whole, read as hints to look at orders again.

`event-sign` is the hex MD5 of app key, raw body and secret, as the platform's own SDK checks it; one client in public
use checks an HMAC-SHA256 keyed with the secret instead [U], so both are accepted, told apart by their length. `data`
is a JSON text: orders are `p_id` there (the shop's order) with `s_id` or `s_ids` (its lines), after-sales name them
as well; `shop_id` is the shop, of which one app may have several. Tags: 100 created, 101 paid, 102 shipped, 105 new
address, 106 cancelled, 206 refunded. Messages of tag 0 only try the address. Answer `{"code":0,"msg":"success"}`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from integrations.channels import Pushed
from integrations.channels.douyin_api import NAME
from integrations.channels.payload import Unparsable, identity, listing, mapping, text
from integrations.errors import Forged, Refused
from models.settings import DouyinSettings

MOST_BYTES = 1024 * 1024
_TRIAL = "0"
_ORDER_NAMES = ("p_id", "shop_order_id", "order_id")


def event_sign(app_key: str, secret: str, body: bytes) -> str:
    """The signature of a push as the platform's SDK makes it: 32 hex digits."""
    return hashlib.md5(app_key.encode() + body + secret.encode()).hexdigest()


def event_sign_hmac(app_key: str, secret: str, body: bytes) -> str:
    """The other variant that is in use: 64 hex digits."""
    return hmac.new(secret.encode(), app_key.encode() + body + secret.encode(), hashlib.sha256).hexdigest()


def read_push(settings: DouyinSettings, headers: Mapping[str, str], body: bytes) -> list[Pushed]:
    """The messages of a POST about this shop, in their order; those that only try the address are left out.

    A message whose `data` cannot be read names no order. Pushes carry no time: whoever plays one again is recognised
    by `msg_id` only. Raises `Forged` (another app, not signed with our secret), `Refused` for what is no list of
    messages, and `ValueError` while app key or secret are not set up here.
    """
    secret = settings.app_secret.get_secret_value()
    if not (settings.app_key and secret):
        raise ValueError("Douyin's app key or secret is not set up here")
    if len(body) > MOST_BYTES:
        raise Refused(NAME, "too_large", f"a push of {len(body)} bytes is none of the platform's")
    _check(settings.app_key, secret, {name.lower(): value for name, value in headers.items()}, body)
    try:
        messages = [mapping(message, "message") for message in listing(json.loads(body), "the body")]
        pushed = [_pushed(message, settings.shop) for message in messages]
    except (ValueError, RecursionError) as error:
        raise Refused(NAME, "unreadable", f"a push of this app cannot be read: {error}"[:300]) from error
    return [one for one in pushed if one is not None]


def _check(app_key: str, secret: str, headers: Mapping[str, str], body: bytes) -> None:
    if not hmac.compare_digest(headers.get("app-id", "").encode(errors="replace"), app_key.encode()):
        raise Forged(NAME, "app", "a push for another app: app-id is not our app key")
    given = headers.get("event-sign", "").strip().lower()
    signed = event_sign_hmac if len(given) == 64 else event_sign
    if not hmac.compare_digest(given.encode(errors="replace"), signed(app_key, secret, body).encode()):
        raise Forged(NAME, "signature", "event-sign is not by our secret: compare the app's secret with the console")


def _pushed(message: dict[str, Any], shop: str) -> Pushed | None:
    """What a message says; None when it is a trial or about another shop."""
    topic = identity(message.get("tag"), "tag")
    if topic == _TRIAL:
        return None
    data = _data(message.get("data"))
    if shop and data.get("shop_id") not in (None, shop) and _known(data["shop_id"]) != shop:
        return None
    named = next((data[name] for name in _ORDER_NAMES if data.get(name)), None)
    # one of the platform's SDKs spells the id differently
    delivery = identity(message.get("msg_id") or message.get("msgId"), "msg_id")
    return Pushed(delivery, topic, _known(named))


def _data(value: object) -> dict[str, Any]:
    """The object in a message's `data`; empty when it is none."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _known(value: object) -> str:
    """The id as a text; empty when it cannot be one."""
    try:
        return text(value, "id").strip()
    except Unparsable:
        return ""
