"""Staff accounts: one per person, so that who pressed the button is known."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from datetime import datetime, timedelta

from sqlmodel import Field, Session, SQLModel, select

from models.quality import plain
from models.table import moment, sealed

#: How long a sign-in lasts without being renewed.
SIGNED_IN = timedelta(hours=12)
_COST = {"n": 2**14, "r": 8, "p": 1}


class Staff(SQLModel, table=True):
    """One person. A disabled account is out at once, with all its sign-ins."""

    __tablename__ = "staff"

    name: str = Field(primary_key=True)
    role: str = "customer_service"
    salt: bytes = sealed()
    digest: bytes = sealed()
    created_at: datetime = moment()
    disabled_at: datetime | None = moment(nullable=True)


class SignIn(SQLModel, table=True):
    """One browser of one person. Only a digest of the cookie is kept."""

    __tablename__ = "sign_in"

    digest: str = Field(primary_key=True)
    name: str = Field(foreign_key="staff.name", index=True)
    until: datetime = moment()


def set_password(session: Session, name: str, role: str, password: str, now: datetime) -> None:
    """Make the account, or give it a new password (which ends its sign-ins)."""
    account = session.get(Staff, name) or Staff(name=name, created_at=now)
    account.role, account.salt = role, os.urandom(16)
    account.digest = _digest(password, account.salt)
    account.disabled_at = None
    session.add(account)
    _end_sign_ins(session, name)


def sign_in(session: Session, name: str, password: str, now: datetime) -> str | None:
    """A fresh cookie value for this person, or None. Takes as long for unknown names as for wrong passwords."""
    account = session.get(Staff, name) if plain(name) else None
    salt, expected = (account.salt, account.digest) if account else (b"0" * 16, b"0" * 64)
    right = hmac.compare_digest(_digest(password, bytes(salt)), bytes(expected))
    if account is None or not right or account.disabled_at is not None:
        return None
    cookie = secrets.token_urlsafe(32)
    session.add(SignIn(digest=_short(cookie), name=name, until=now + SIGNED_IN))
    return cookie


def who(session: Session, cookie: str, now: datetime) -> Staff | None:
    """The person behind a cookie, if the sign-in is still good and the account is not disabled."""
    row = session.get(SignIn, _short(cookie))
    if row is None or row.until <= now:
        return None
    account = session.get(Staff, row.name)
    return None if account is None or account.disabled_at is not None else account


def sign_out(session: Session, cookie: str) -> None:
    """End one sign-in."""
    row = session.get(SignIn, _short(cookie))
    if row is not None:
        session.delete(row)


def disable(session: Session, name: str, now: datetime) -> bool:
    """Disable a leaver: out at once. False when there is no such person."""
    account = session.get(Staff, name)
    if account is None:
        return False
    account.disabled_at = now
    session.add(account)
    _end_sign_ins(session, name)
    return True


def _end_sign_ins(session: Session, name: str) -> None:
    for row in session.exec(select(SignIn).where(SignIn.name == name)):
        session.delete(row)
    session.flush()


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, **_COST, dklen=64)


def _short(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
