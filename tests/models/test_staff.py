"""Staff accounts: one per person, out at once when disabled, and nothing to learn from a failed sign-in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import Session, select

from models.staff import SIGNED_IN, SignIn, Staff, disable, set_password, sign_in, sign_out, who
from tests.models.build import NOW


@pytest.fixture
def people(session: Session) -> Session:
    """王敏 with a password."""
    set_password(session, "王敏", "customer_service", "correct horse", NOW)
    return session


def cookie_of(session: Session, password: str = "correct horse") -> str:
    """A fresh sign-in of 王敏."""
    cookie = sign_in(session, "王敏", password, NOW)
    assert cookie is not None
    return cookie


def test_the_right_password_signs_in_until_it_ends(people: Session) -> None:
    cookie = cookie_of(people)

    account = who(people, cookie, NOW + SIGNED_IN - timedelta(seconds=1))
    assert account is not None and (account.name, account.role) == ("王敏", "customer_service")
    assert who(people, cookie, NOW + SIGNED_IN) is None


def test_anything_else_does_not(people: Session) -> None:
    for name, password in (("王敏", "wrong"), ("王敏", ""), ("nobody", "correct horse"), ("", ""), ("王\x00敏", "x")):
        assert sign_in(people, name, password, NOW) is None
    assert people.exec(select(SignIn)).all() == []


def test_neither_password_nor_cookie_is_stored(people: Session) -> None:
    cookie = cookie_of(people)

    account, row = people.get_one(Staff, "王敏"), people.exec(select(SignIn)).one()
    assert cookie not in row.digest
    assert b"correct" not in bytes(account.digest) + bytes(account.salt)
    set_password(people, "李娜", "warehouse", "correct horse", NOW)
    assert bytes(people.get_one(Staff, "李娜").digest) != bytes(account.digest)


def test_signing_out_ends_this_sign_in_only(people: Session) -> None:
    here, there = cookie_of(people), cookie_of(people)

    sign_out(people, here)
    sign_out(people, "never seen")

    assert who(people, here, NOW) is None
    assert who(people, there, NOW) is not None


def test_a_leaver_is_out_at_once_everywhere(people: Session) -> None:
    cookies = [cookie_of(people) for _ in range(3)]

    assert disable(people, "王敏", NOW)

    assert [who(people, cookie, NOW) for cookie in cookies] == [None] * 3
    assert sign_in(people, "王敏", "correct horse", NOW) is None
    assert people.exec(select(SignIn)).all() == []
    assert not disable(people, "nobody", NOW)


def test_a_new_password_ends_the_old_sign_ins(people: Session) -> None:
    old = cookie_of(people)

    set_password(people, "王敏", "finance", "battery staple", NOW)

    assert who(people, old, NOW) is None
    assert sign_in(people, "王敏", "correct horse", NOW) is None
    account = who(people, cookie_of(people, "battery staple"), NOW)
    assert account is not None and account.role == "finance"


def test_a_made_up_cookie_is_nobody(people: Session) -> None:
    cookie_of(people)
    for cookie in ("", "x", "\x00", "长" * 10_000):
        assert who(people, cookie, NOW) is None
