"""Answers of platforms as JSON: whatever they hold can be stored."""

from __future__ import annotations

import httpx
import pytest

from integrations.channels.payload import answer


@pytest.mark.parametrize(
    "body",
    [
        b'{"note": "a\\ud83db"}',
        b'{"note": "a\\u0000b"}',
        b'{"note": "a\xed\xa0\xbdb"}',  # half a character as bytes, which `json` lets pass
        '{"note": "a\\u0000b"}'.encode("utf-16"),
        '{"note": "a\ud83db"}'.encode("utf-16", "surrogatepass"),
    ],
)
def test_what_no_database_stores_is_replaced_however_it_is_written(body: bytes) -> None:
    assert answer(httpx.Response(200, content=body), "shopify") == {"note": "a\ufffdb"}


def test_whole_characters_stay() -> None:
    assert answer(httpx.Response(200, content='{"note": "훈민정음🐶"}'.encode()), "shopify") == {"note": "훈민정음🐶"}
