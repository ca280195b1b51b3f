"""A customer service lead at the pages for sheets of orders: uploading, filling in the form, waiting for the stack."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from integrations.sandbox.opening import open_book
from models.order_sheet import OrderSheet
from tasks.importing import import_sheet
from tests.integrations.portal_server import Browser, Portal, committed, now, running_portal
from tests.sheets import quiet, sheet_file


@contextmanager
def import_portal(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Portal]:
    """A portal with the products of the history; uploaded files lie below `tmp_path`."""
    monkeypatch.setenv("ORDERLOOM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ORDERLOOM_POLICY", '{"judge_batches": false}')
    with running_portal(database_url, monkeypatch) as running:
        committed(lambda session: open_book(session, now()))
        yield running


def sent(browser: Browser, name: str, data: bytes, **fields: str) -> httpx.Response:
    """Upload a sheet."""
    form = {"csrf": browser.token("/imports"), "shop": "pdd-旗舰店", **fields}
    return browser.post("/imports", data=form, files={"file": (name, data)})


def uploaded(browser: Browser, data: bytes, name: str = "订单.csv", **fields: str) -> str:
    """Upload a good sheet; its page."""
    answer = sent(browser, name, data, **fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def csv_of(tmp_path: Path, orders: Any = 6, **how: Any) -> bytes:
    return sheet_file(tmp_path / "made.csv", orders, **how).read_bytes()


def form_of(page: str) -> dict[str, str]:
    """The choices on the page of a sheet as they stand."""
    found = {}
    for name, body in re.findall(r'<select name="(\w+)".*?>(.*?)</select>', page, re.S):
        chosen = re.search(r'value="([^"]*)" selected', body)
        found[name] = chosen[1] if chosen else ""
    return found


def do(browser: Browser, place: str, what: str, **changes: str) -> httpx.Response:
    page = browser.get(place).text
    form = form_of(page) | changes
    return browser.post(place, data={"csrf": browser.token(place), "do": what, **form})


def worked_through(place: str) -> OrderSheet:
    """What the stack does with a confirmed sheet."""
    return asyncio.run(import_sheet(int(place.rpartition("/")[2]), quiet))


def column(page: str, header: str) -> str:
    """The name of the select of a column."""
    found = re.search(rf'<select name="(c\d+)" aria-label="{re.escape(header)}当作"', page)
    assert found, header
    return found[1]


def stored(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "state" / "sheets").iterdir())


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.02)
