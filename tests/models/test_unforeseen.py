"""Errors that nobody foresaw say nothing of anybody's order."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from models.book import NothingEntered, take_orders
from models.database import engine_for
from models.unforeseen import in_short
from tests.models.build import NOW, incoming, open_shop

NOTE = "请放门口,密码 8866"


def test_orders_that_the_database_does_not_take_are_not_in_the_error_or_the_log(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    # given a database that takes none of two orders
    open_shop(session)
    session.execute(text("ALTER TABLE orders ADD CONSTRAINT short_note CHECK (length(note) < 3)"))
    page = [replace(incoming(), channel_order_id=f"gid://{n}", note=NOTE) for n in (1, 2)]
    # when they are taken in
    with caplog.at_level(logging.DEBUG), pytest.raises(NothingEntered) as raised:
        take_orders(session, page, NOW)
    # then it says what is wrong, and not with whom
    assert "CheckViolation 23514 short_note entry.py:" in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert NOTE not in caplog.text + str(raised.value)
    assert "short_note" in caplog.text


def test_a_database_error_is_its_kind_and_our_place(database_url: str) -> None:
    # given an error whose own words hold what was to be written
    with engine_for(database_url).connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(text("SELECT CAST(:note AS integer)"), {"note": NOTE})
    assert NOTE in str(raised.value.orig)
    # then in short it does not
    assert re.fullmatch(r"InvalidTextRepresentation 22P02 test_unforeseen\.py:\d+", in_short(raised.value))
    assert "[SQL parameters hidden" in str(raised.value)


def test_another_error_keeps_its_words() -> None:
    assert in_short(KeyError("no such field")) == "KeyError: 'no such field'"
