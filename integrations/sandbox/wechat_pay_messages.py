"""What WeChat Pay sends: signed headers, and callbacks with an encrypted resource."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from integrations.payments.rsa import sign
from integrations.payments.wechat_pay import SCHEME, answer_message
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.rsa_keys import key_of

OURS, ANOTHER = "wechat_pay platform", "alipay platform"


def signed_headers(credentials: Credentials, body: bytes, timestamp: int, signer: str = OURS) -> dict[str, str]:
    """The headers of an answer or a callback, naming our key whoever signs it."""
    nonce = uuid.uuid4().hex
    return {
        "content-type": "application/json",
        "wechatpay-timestamp": str(timestamp),
        "wechatpay-nonce": nonce,
        "wechatpay-serial": credentials.wechat_pay_platform_serial,
        "wechatpay-signature": sign(key_of(signer), answer_message(str(timestamp), nonce, body)),
        "wechatpay-signature-type": SCHEME,
    }


def callback_body(credentials: Credentials, event_id: str, event_type: str, at: str, told: dict[str, Any]) -> bytes:
    """A callback with its encrypted resource."""
    original = "transaction" if event_type.startswith("TRANSACTION") else "refund"
    nonce, plain = uuid.uuid4().hex[:12], json.dumps(told, ensure_ascii=False).encode()
    key = credentials.wechat_pay_api_v3_key.encode()
    encrypted = AESGCM(key).encrypt(nonce.encode(), plain, original.encode())
    message = {
        "id": event_id,
        "create_time": at,
        "event_type": event_type,
        "resource_type": "encrypt-resource",
        "summary": "退款通知" if original == "refund" else "支付成功",
        "resource": {
            "algorithm": "AEAD_AES_256_GCM",
            "original_type": original,
            "ciphertext": base64.b64encode(encrypted).decode(),
            "nonce": nonce,
            "associated_data": original,
        },
    }
    return json.dumps(message, ensure_ascii=False).encode()
