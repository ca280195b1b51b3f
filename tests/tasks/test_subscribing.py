"""Ordering pushes is no condition of reading orders."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from tasks.subscribing import subscribe


class Odd:
    """A channel that answers something nobody foresaw."""

    async def subscribe(self, uri: str) -> list[str]:
        raise KeyError("topics")


async def test_an_error_nobody_foresaw_is_told_and_stops_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    known = SimpleNamespace(channel=lambda name: Odd())
    monkeypatch.setattr(sys.modules[subscribe.fn.__module__], "platforms", lambda: known)
    assert await subscribe.fn("shopify") == "shopify 的推送没有订上:KeyError: 'topics'"
