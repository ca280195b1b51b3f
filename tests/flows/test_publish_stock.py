"""Publishing stock to all channels: what operators read, and when there is nothing to read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from prefect.states import State
from sqlalchemy import text
from sqlmodel import Session

from flows.publish_stock import publish_stock
from integrations.channels.wechat_stock import WeChatShelf
from integrations.sandbox import shelves
from integrations.sandbox.shelves import stock_shelves
from models import pool
from models.database import transact
from models.settings import settings
from tasks.shelves import Change, Published
from tasks.stock_board import ARTIFACT, as_markdown
from tests.house import House
from tests.prefect import RunningServer


async def test_every_channel_is_told_and_the_artifact_says_what_changed(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given two SKUs on every shelf, newly listed, whose numbers are not what the pool wants
    percent = settings().policy.default_buffer_percent
    wanted = dict(sorted(transact(lambda session: pool.published(session, "shopify", percent)).items())[:2])
    assert all(wanted.values())
    stock_shelves(home.sandbox.world, dict.fromkeys(wanted, 1))
    transact(_forget_looks)
    monkeypatch.setattr(WeChatShelf, "_remembered", {})
    before = len(_artifacts(prefect_server))
    # when one channel is down
    home.sandbox.world.set_fault("douyin", "sku.detail", "http_429", times=9999, detail={"retry_after": 60})
    state = await _publish()
    # then the others show the pool's numbers, and the run names the one that does not
    assert (state.name, state.is_completed()) == ("部分渠道不通:douyin", True)
    assert _shown(home, "shopify", wanted) == _shown(home, "wechat_shop", wanted) == wanted
    assert _shown(home, "douyin", wanted) == dict.fromkeys(wanted, 1)
    (first,) = _artifacts(prefect_server)[before:]
    assert all(sku in first for sku in wanted)
    assert "抖店" in first and "429" in first
    # and when it answers again it is told too
    home.sandbox.world.clear_faults()
    assert (await _publish()).name == "改了 2 个"
    assert _shown(home, "douyin", wanted) == wanted
    assert len(_artifacts(prefect_server)) == before + 2
    # and then there is nothing to tell, and nothing is told
    state = await _publish()
    assert state.name == "没有变化"
    assert len(_artifacts(prefect_server)) == before + 2


def test_table_is_readable_whatever_is_in_it() -> None:
    published = [
        Published("shopify", looked=3, changes=[Change("BED|1", 4, 90)], left={"TOY-1": "shopify timeout: <b>\nno"}),
        Published("douyin", busy=True),
    ]
    assert as_markdown(published, {"BED|1": "窝垫"}).splitlines() == [
        "| 渠道 | 核对 | 改了 | 留到下一轮 | 说明 |",
        "|---|---:|---:|---:|---|",
        "| Shopify | 3 | 1 | 1 | 完成 |",
        "| 抖店 | 0 | 0 | 0 | 正由另一个运行在发布 |",
        "",
        "## 改了的",
        "",
        "| 渠道 | SKU | 商品 | 原来可售 | 现在可售 |",
        "|---|---|---|---:|---:|",
        "| Shopify | BED&#124;1 | 窝垫 | 4 | 90 |",
        "",
        "## 留到下一轮的",
        "",
        "| 渠道 | SKU | 商品 | 原因 |",
        "|---|---|---|---|",
        "| Shopify | TOY-1 |  | shopify timeout: &lt;b> no |",
    ]


def test_long_table_is_cut_and_counted() -> None:
    changes = [Change(f"SKU-{number}", 0, 1) for number in range(103)]
    text = as_markdown([Published("shopify", changes=changes)], {})
    assert text.count("| SKU-") == 100
    assert text.endswith("另有 3 行没有列出。")


async def _publish() -> State[Any]:
    return await publish_stock(return_state=True)


def _forget_looks(session: Session) -> None:
    """What other tests looked at: then the first SKUs are the first to be looked at."""
    session.connection().execute(text("DELETE FROM channel_stock"))


def _shown(home: House, channel: str, skus: Iterable[str]) -> dict[str, int | None]:
    return {sku: shelves.shown(home.sandbox.world, channel, sku) for sku in skus}


def _artifacts(server: RunningServer) -> list[str]:
    """What was written under the key, oldest first."""
    with server.http() as api:
        found = api.post("artifacts/filter", json={"artifacts": {"key": {"any_": [ARTIFACT]}}, "sort": "CREATED_DESC"})
        found.raise_for_status()
        return [artifact["data"] for artifact in reversed(found.json())]
