"""RSA as the payment providers use it: SHA-256, PKCS #1 v1.5, signatures in Base64."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)


@lru_cache(maxsize=16)
def private_key(text: str) -> RSAPrivateKey:
    """The key in a PEM text or in the bare Base64 that a console shows (PKCS #1 or #8). `ValueError` if it is none.

    Kept per text: checking a key takes some 40 ms.
    """
    try:
        pem = "-----BEGIN" in text
        key = load_pem_private_key(text.strip().encode(), None) if pem else load_der_private_key(_der(text), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("no RSA private key: paste the PEM text, or the Base64 that the console shows") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("a private key, but not of RSA")
    return key


@lru_cache(maxsize=16)
def public_key(text: str) -> RSAPublicKey:
    """The key in a PEM text, a PEM certificate or bare Base64. `ValueError` if it is none."""
    try:
        key: object
        if "-----BEGIN CERTIFICATE" in text:
            key = x509.load_pem_x509_certificate(text.strip().encode()).public_key()
        elif "-----BEGIN" in text:
            key = load_pem_public_key(text.strip().encode())
        else:
            key = load_der_public_key(_der(text))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("no RSA public key: paste the PEM text, or the Base64 that the console shows") from error
    if not isinstance(key, RSAPublicKey):
        raise ValueError("a public key, but not of RSA")
    return key


def sign(key: RSAPrivateKey, message: bytes) -> str:
    """The signature in Base64."""
    return base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode()


def is_signed(key: RSAPublicKey, message: bytes, signature: str) -> bool:
    """Whether this Base64 is the signature of the message by the owner of the key. Any text may come in."""
    try:
        key.verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _der(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError("neither PEM nor Base64") from error
