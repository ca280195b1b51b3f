"""What a WeChat shop 微信小店 pushes to us: verified, decrypted, and read as hints to look at an order again.

The shop's console offers encryption only, and JSON (doc/store/API/basics/message_push); XML is read as well, as its
siblings push it. The address is first verified by a GET with a plain `signature`. Events of an order are
`channels_ec_order_…` with `order_info.order_id`, of an after-sale `channels_ec_aftersale_update` with
`finder_shop_aftersale_status_update.order_id`. What is not answered `success` within 5 s is pushed a few times more.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]

from integrations.channels import Pushed
from integrations.channels.payload import Unparsable, epoch, identity, mapping, text
from integrations.channels.wechat_api import NAME
from integrations.channels.wechat_crypto import Undecipherable, key_of, signature, unseal
from integrations.errors import Forged, Refused
from models.settings import WeChatShopSettings

MOST_BYTES = 256 * 1024
#: Repeats come within seconds and are signed anew; an hour forgives a clock that is off, and whoever plays an old
#: push again within it is recognised by its delivery id.
OLDEST_SECONDS = 3600


def echo(settings: WeChatShopSettings, query: Mapping[str, str]) -> str:
    """What to answer, as plain text, to the GET that verifies our address: `echostr`, decrypted where it is sealed.

    Raises `Forged`; `ValueError` while push token or AES key are not set up here.
    """
    token, key = _secrets(settings)
    said = query.get("echostr", "")
    if "msg_signature" not in query:
        _check_signature(token, query, "signature")
        return said
    _check_signature(token, query, "msg_signature", said)
    return _unsealed(key, said, settings.app_id).decode(errors="replace")


def read_push(
    settings: WeChatShopSettings, query: Mapping[str, str], body: bytes, now: datetime | None = None
) -> list[Pushed]:
    """The one event of a POST. `now` (aware, by default the clock) is what its age is measured against.

    The platform names no delivery: sender, second, event, order, after-sale and its status together are the id. Raises
    `Forged` (not encrypted, not signed by our token, for another app, over an hour old), `Refused` for what cannot
    be read, and `ValueError` while push token or AES key are not set up here.
    """
    token, key = _secrets(settings)
    sealed = _sealed_in(body)
    _check_signature(token, query, "msg_signature", sealed)
    _check_age(query, now or datetime.now(UTC))
    message = _object(_unsealed(key, sealed, settings.app_id))
    try:
        return [_pushed(message)]
    except Unparsable as error:
        raise Refused(NAME, "unreadable", f"a push of this shop cannot be read: {error}") from error


def _secrets(settings: WeChatShopSettings) -> tuple[str, bytes]:
    token, key = settings.push_token.get_secret_value(), settings.push_aes_key.get_secret_value()
    if not (token and key and settings.app_id):
        raise ValueError("the WeChat shop's app id, push token or AES key is not set up here")
    return token, key_of(key)


def _check_signature(token: str, query: Mapping[str, str], name: str, *sealed: str) -> None:
    """Raise `Forged` unless the query's parameter `name` signs its timestamp and nonce, and what is sealed."""
    wanted = signature(token, query.get("timestamp", ""), query.get("nonce", ""), *sealed)
    if not hmac.compare_digest(wanted.encode(), query.get(name, "").encode(errors="replace")):
        raise Forged(NAME, "signature", f"{name} is not by our push token: compare the tokens here and in the console")


def _check_age(query: Mapping[str, str], now: datetime) -> None:
    try:
        age = abs((now - epoch(query.get("timestamp"), "timestamp")).total_seconds())
    except Unparsable as error:
        raise Forged(NAME, "stale", f"signed, but with no moment: {error}") from error
    if age > OLDEST_SECONDS:
        raise Forged(NAME, "stale", f"signed {age:.0f} s from now: an old push played again, or our clock is wrong")


def _sealed_in(body: bytes) -> str:
    try:
        sealed = text(_object(body).get("Encrypt"), "Encrypt")
    except Unparsable as error:
        raise Refused(NAME, "unreadable", f"a push cannot be read: {error}") from error
    if not sealed:
        raise Forged(NAME, "not_encrypted", "pushed in plain text: choose 安全模式 for the message push in the console")
    return sealed


def _unsealed(key: bytes, sealed: str, app_id: str) -> bytes:
    try:
        return unseal(key, sealed, app_id)
    except Undecipherable as error:
        raise Forged(NAME, "undecipherable", f"{error}: compare AES key and app id with the console") from error


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object or XML document in a body, XML without entities. Raises `Refused`."""
    if len(body) > MOST_BYTES:
        raise Refused(NAME, "too_large", f"a push of {len(body)} bytes is none of the platform's")
    try:
        if body.lstrip()[:1] == b"<":
            return _object_of_xml(fromstring(body, forbid_dtd=True))
        return mapping(json.loads(body), "the body")
    except (ValueError, RecursionError, ParseError, LookupError) as error:
        raise Refused(NAME, "unreadable", f"a push is neither JSON nor XML: {error}"[:300]) from error


def _object_of_xml(root: Element) -> dict[str, Any]:
    """Two levels, which is all that an event has; texts stay texts."""
    return {
        child.tag: {leaf.tag: leaf.text or "" for leaf in child} if len(child) else child.text or "" for child in root
    }


def _pushed(message: dict[str, Any]) -> Pushed:
    topic = identity(message.get("Event") or message.get("MsgType"), "Event")
    about = next((value for value in message.values() if isinstance(value, dict) and "order_id" in value), {})
    order_id = text(about.get("order_id"), "order_id").strip()
    parts = [text(message.get(name), name) for name in ("FromUserName", "CreateTime")]
    parts += [topic, order_id, text(about.get("after_sale_order_id"), "after_sale_order_id")]
    parts.append(text(about.get("status"), "status"))
    return Pushed(hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40], topic, order_id)
