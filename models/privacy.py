"""Personal data: stored once, encrypted (AES-256-GCM), and masked everywhere else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from models.settings import settings


class PrivacyKeyMissing(Exception):
    """There is no key, or it is not the one that this database was written with."""


def new_key() -> str:
    """A fresh key, as the settings hold it (Base64 of 32 random bytes)."""
    return base64.b64encode(os.urandom(32)).decode()


def _key() -> bytes:
    text = settings().privacy_key.get_secret_value()
    if not text:
        raise PrivacyKeyMissing(
            "没有加密密钥(privacy_key):运行 `orderloom up` 会生成一个,写在设置文件里;请与备份一起妥善保管。"
        )
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise PrivacyKeyMissing("加密密钥(privacy_key)不是 32 字节的 Base64:请从备份里找回原来的设置文件。")
    return key


def seal(text: str) -> bytes:
    """The text, encrypted: 12 bytes of nonce, then the ciphertext with its tag."""
    nonce = os.urandom(12)
    return nonce + AESGCM(_key()).encrypt(nonce, text.encode(), None)


def unseal(sealed: bytes) -> str:
    """The text again. Raises `PrivacyKeyMissing` when the key is not the one it was sealed with."""
    try:
        return AESGCM(_key()).decrypt(bytes(sealed[:12]), bytes(sealed[12:]), None).decode()
    except (InvalidTag, ValueError) as error:
        raise PrivacyKeyMissing("加密密钥(privacy_key)与数据库不符:请从备份里找回原来的设置文件。") from error


def seal_part(data: bytes, place: bytes) -> bytes:
    """A part of something larger, encrypted so that it can be opened at its own `place` only."""
    nonce = os.urandom(12)
    return nonce + AESGCM(_key()).encrypt(nonce, data, place)


def unseal_part(sealed: bytes, place: bytes) -> bytes:
    """The part again. Raises `PrivacyKeyMissing` when it was moved or changed, or the key is another."""
    try:
        return AESGCM(_key()).decrypt(sealed[:12], sealed[12:], place)
    except (InvalidTag, ValueError) as error:
        raise PrivacyKeyMissing("加密的文件打不开:密钥(privacy_key)不对,或文件已损坏;请重新上传。") from error


def fingerprint(*parts: str) -> str:
    """A keyed digest by which equal values can be found without reading them (32 hex characters)."""
    return hmac.new(_key(), "\x1f".join(parts).encode(), hashlib.sha256).hexdigest()[:32]


def mask_name(name: str) -> str:
    """王小明 → 王**; at most ten characters, at least one of them a star."""
    return name[:1] + "*" * min(max(len(name) - 1, 1), 9) if name else ""


def mask_phone(phone: str) -> str:
    """13812345678 → 138****5678; of shorter numbers at least four digits stay hidden, of seven or fewer all."""
    digits = re.sub(r"\D", "", phone)
    if len(digits) >= 11:
        return f"{digits[:3]}****{digits[-4:]}"
    return f"****{digits[-4:]}" if len(digits) >= 8 else "****"


def without_numbers(text: str) -> str:
    """Free text with everything hidden that could be a phone or card number (seven digits or more)."""
    return re.sub(r"\d(?:[ -]?\d){6,}", "****", text)
