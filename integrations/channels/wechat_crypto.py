"""The crypto of what WeChat and WeCom push: SHA-1 over sorted parts, AES-256-CBC (PROTOCOLS.md §9).

What is sealed is 16 random bytes, the message's length (4 bytes, big-endian), the message, and whom it is for: an app
id of WeChat or a corp id of WeCom. The padding fills blocks of 32 bytes, not of the cipher's 16.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_CHARACTERS = 43  # of an EncodingAESKey: 32 bytes in Base64 without the last "="
_BLOCK = 32
_SALT, _LENGTH = 16, 4


class Undecipherable(ValueError):
    """A text that was not sealed with this key for this receiver."""


def signature(token: str, *parts: str) -> str:
    """Hex SHA-1 of token and parts, sorted as texts and joined; parts are timestamp, nonce and what was sealed."""
    return hashlib.sha1("".join(sorted((token, *parts))).encode()).hexdigest()


def key_of(encoding_aes_key: str) -> bytes:
    """The 32 bytes of an EncodingAESKey. Raises `ValueError` for what is none."""
    if len(encoding_aes_key) != KEY_CHARACTERS:
        raise ValueError(f"an EncodingAESKey has {KEY_CHARACTERS} characters, this one {len(encoding_aes_key)}")
    return base64.b64decode(encoding_aes_key + "=", validate=True)


def seal(key: bytes, message: bytes, receiver: str, salt: bytes | None = None) -> str:
    """The message for this receiver, encrypted, in Base64. `salt` are the 16 random bytes."""
    plain = (salt or secrets.token_bytes(_SALT)) + len(message).to_bytes(_LENGTH, "big") + message + receiver.encode()
    missing = _BLOCK - len(plain) % _BLOCK
    encryptor = _cipher(key).encryptor()
    return base64.b64encode(encryptor.update(plain + bytes([missing]) * missing) + encryptor.finalize()).decode()


def unseal(key: bytes, sealed: str, receiver: str) -> bytes:
    """The message in a sealed text. Raises `Undecipherable`. Check the signature first: padding proves nothing."""
    try:
        encrypted = base64.b64decode(sealed, validate=True)
    except ValueError as error:
        raise Undecipherable("not Base64") from error
    if not encrypted or len(encrypted) % _SALT:
        raise Undecipherable(f"{len(encrypted)} bytes are no whole blocks")
    decryptor = _cipher(key).decryptor()
    padded = decryptor.update(encrypted) + decryptor.finalize()
    padding = padded[-1]
    if not 0 < padding <= min(_BLOCK, len(padded)) or padded[-padding:] != bytes([padding]) * padding:
        raise Undecipherable("the padding is wrong: it was sealed with another key, or changed")
    plain = padded[_SALT:-padding]
    length = int.from_bytes(plain[:_LENGTH], "big")
    message, named = plain[_LENGTH : _LENGTH + length], plain[_LENGTH + length :]
    if len(plain) < _LENGTH or len(message) != length:
        raise Undecipherable("the message is shorter than it says")
    if not hmac.compare_digest(named, receiver.encode()):
        raise Undecipherable("it is for somebody else: another app or company")
    return message


def _cipher(key: bytes) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(key), modes.CBC(key[:16]))
