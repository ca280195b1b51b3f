"""The made-up RSA keys of the sandbox, 2048 bits: every process derives the same ones, and none is kept in a file.

A key's two primes are the next ones after numbers drawn from SHA-256 of its name. Looking for them takes a second, so
how far they are is written down here; a test lets OpenSSL prove that each is a prime.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

EXPONENT = 65537
PRIME_BITS = 1024

#: Steps of two from the drawn odd numbers to the next primes p and q whose p - 1 and q - 1 the exponent does not share.
STEPS_TO_PRIMES = {
    "alipay merchant": (202, 406),
    "alipay platform": (556, 133),
    "wechat_pay merchant": (567, 100),
    "wechat_pay platform": (225, 1451),
}


@lru_cache
def key_of(name: str) -> rsa.RSAPrivateKey:
    """The private key of this name, one of `STEPS_TO_PRIMES`. Under a millisecond: its validity is not checked here."""
    return numbers_of(name).private_key(unsafe_skip_rsa_key_validation=True)


def numbers_of(name: str) -> rsa.RSAPrivateNumbers:
    """The numbers that make up this key."""
    p, q = (_drawn(f"{name} {which}") + 2 * steps for which, steps in zip("pq", STEPS_TO_PRIMES[name], strict=True))
    d = rsa.rsa_recover_private_exponent(EXPONENT, p, q)
    public = rsa.RSAPublicNumbers(EXPONENT, p * q)
    return rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    )


@lru_cache
def private_text(name: str) -> str:
    """The private key as consoles show it: Base64 of PKCS #8, one line."""
    der = key_of(name).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(der).decode()


@lru_cache
def public_text(name: str) -> str:
    """The public key as consoles show it: Base64 of SubjectPublicKeyInfo, one line."""
    der = key_of(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def _drawn(name: str) -> int:
    """An odd number with its two highest bits set, so that the product of two of them has twice their bits."""
    blocks = (f"orderloom sandbox rsa {name} {number}".encode() for number in range(PRIME_BITS // 256))
    drawn = int.from_bytes(b"".join(hashlib.sha256(block).digest() for block in blocks), "big")
    return drawn | (3 << (PRIME_BITS - 2)) | 1
