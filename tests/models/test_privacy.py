"""Personal data: sealed with a key, readable with that key only, and masked for everybody else."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session

from models.intake import Receiver
from models.order import Contact, keep_contact, reveal
from models.privacy import PrivacyKeyMissing, fingerprint, mask_name, mask_phone, new_key, seal, unseal
from models.settings import settings
from tests.models.build import RECEIVER


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Lets a test change the key."""
    yield monkeypatch
    monkeypatch.undo()
    settings.cache_clear()


def use(keys: pytest.MonkeyPatch, key: str) -> None:
    """From now on this is the key."""
    keys.setenv("ORDERLOOM_PRIVACY_KEY", key)
    settings.cache_clear()


@given(st.text())
def test_what_was_sealed_is_read_again_and_never_looks_the_same(value: str) -> None:
    first, second = seal(value), seal(value)

    assert unseal(first) == unseal(second) == value
    assert first != second
    assert len(value) < 4 or value.encode() not in first


def test_another_key_says_where_to_find_the_right_one(keys: pytest.MonkeyPatch) -> None:
    sealed = seal("秘密")
    use(keys, new_key())

    with pytest.raises(PrivacyKeyMissing, match=r"与数据库不符.*备份"):
        unseal(sealed)


@pytest.mark.parametrize("sealed", [b"", b"short", b"x" * 40])
def test_damaged_bytes_are_not_read(sealed: bytes) -> None:
    with pytest.raises(PrivacyKeyMissing, match="与数据库不符"):
        unseal(sealed)


def test_one_changed_byte_is_noticed() -> None:
    sealed = bytearray(seal("13812345678"))
    sealed[-1] ^= 1
    with pytest.raises(PrivacyKeyMissing):
        unseal(bytes(sealed))


@pytest.mark.parametrize("key", ["not base64!", base64.b64encode(b"too short").decode(), "x"])
def test_a_key_that_is_none_says_so(keys: pytest.MonkeyPatch, key: str) -> None:
    use(keys, key)
    with pytest.raises(PrivacyKeyMissing, match="不是 32 字节"):
        seal("秘密")


def test_without_a_key_the_operator_is_told_what_makes_one(keys: pytest.MonkeyPatch) -> None:
    use(keys, "")
    with pytest.raises(PrivacyKeyMissing, match="orderloom up"):
        seal("秘密")


@pytest.mark.parametrize(
    ("name", "masked"),
    [("王小明", "王**"), ("王", "王*"), ("", ""), ("欧阳娜娜", "欧***"), ("A" * 50, "A" + "*" * 9)],
)
def test_names_show_their_first_character(name: str, masked: str) -> None:
    assert mask_name(name) == masked


@pytest.mark.parametrize(
    ("phone", "masked"),
    [
        ("13812345678", "138****5678"),
        ("+86 138-1234-5678", "861****5678"),
        ("0755-86541234", "075****1234"),
        ("86541234", "****1234"),
        ("6541234", "****"),
        ("110", "****"),
        ("", "****"),
        ("没有电话", "****"),
    ],
)
def test_phones_keep_at_least_four_digits_hidden(phone: str, masked: str) -> None:
    assert mask_phone(phone) == masked


@given(st.text("0123456789 -+()", max_size=24))
def test_no_mask_gives_a_phone_away(phone: str) -> None:
    digits = [c for c in phone if c.isdigit()]
    shown = [c for c in mask_phone(phone) if c.isdigit()]
    assert len(digits) - len(shown) >= min(4, len(digits))


def test_fingerprints_find_equals_without_reading_them(keys: pytest.MonkeyPatch) -> None:
    one = fingerprint("13812345678", "深圳市")

    assert one == fingerprint("13812345678", "深圳市")
    assert len({one, fingerprint("13812345678深圳市"), fingerprint("13812345678", "深圳"), fingerprint()}) == 4
    use(keys, new_key())
    assert fingerprint("13812345678", "深圳市") != one


def test_a_contact_is_stored_sealed_and_revealed_whole(session: Session) -> None:
    contact = keep_contact(session, RECEIVER)
    session.expire_all()

    assert reveal(session.get_one(Contact, contact.id)) == RECEIVER
    stored = str(contact.model_dump()) + contact.secret.decode("latin-1")
    assert not any(secret in stored for secret in (RECEIVER.name, RECEIVER.phone, RECEIVER.detail))
    assert (contact.masked_name, contact.masked_phone, contact.district) == ("王**", "138****5678", "南山区")


def test_a_platforms_own_mask_is_kept_until_it_is_lifted(session: Session) -> None:
    masked = Receiver("王**", "138****5678", "广东省", "深圳市", "南山区", "科***", masked=True)
    contact = keep_contact(session, masked)
    assert (contact.only_masked, contact.masked_phone) == (True, "138****5678")

    keep_contact(session, RECEIVER, contact)

    assert (contact.only_masked, reveal(contact)) == (False, RECEIVER)
