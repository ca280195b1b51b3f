"""How Taobao TOP, JD and Pinduoduo sign a request: one flat form, its parameters sorted by name.

MD5 wraps the text in the secret on both sides and is shown in upper-case hex (TOP "API signature", JD listId 2643,
Pinduoduo "API 调用详解"; each with a worked example). TOP's `hmac` (MD5) and `hmac-sha256` use the secret as the key
instead of the wrap.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlencode

SignMethod = Literal["md5", "hmac", "hmac-sha256"]
CONTENT_TYPE = "application/x-www-form-urlencoded;charset=utf-8"

_DIGESTS = {"hmac": hashlib.md5, "hmac-sha256": hashlib.sha256}


def signed_text(params: Mapping[str, str | bytes]) -> str:
    """What is signed: `k1v1k2v2…` by name, without `sign` and without files (bytes)."""
    texts = {name: value for name, value in params.items() if isinstance(value, str) and name != "sign"}
    return "".join(f"{name}{texts[name]}" for name in sorted(texts))


def sign(params: Mapping[str, str | bytes], secret: str, method: SignMethod = "md5") -> str:
    """The signature of these parameters, upper-case hex."""
    text = signed_text(params)
    if method == "md5":
        return hashlib.md5(f"{secret}{text}{secret}".encode()).hexdigest().upper()
    return hmac.new(secret.encode(), text.encode(), _DIGESTS[method]).hexdigest().upper()


def signed_form(params: Mapping[str, str], secret: str, method: SignMethod = "md5") -> bytes:
    """The body of a request (`CONTENT_TYPE`): the parameters that are not empty, and their signature.

    Empty ones are left out, because the platforms differ in whether they sign them.
    """
    sent = {name: value for name, value in params.items() if value}
    return urlencode(sent | {"sign": sign(sent, secret, method)}).encode()
