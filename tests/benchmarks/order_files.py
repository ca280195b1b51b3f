"""Orders of the history as files of the channels: a page of up to 500 a file, one order a line, as the API answers it.

The history begins again when it is used up, under new order numbers; files come in the order in which the channels
would have filled their pages.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import tasks.intake
from integrations.channels import douyin_orders as from_douyin
from integrations.channels import shopify_orders as from_shopify
from integrations.channels import wechat_orders as from_wechat_shop
from integrations.channels.payload import incoming
from integrations.sandbox import douyin_orders, wechat_shop_orders
from integrations.sandbox.baskets import basket
from integrations.sandbox.history import customers, orders
from integrations.sandbox.replay import CHANNEL_OF_HISTORY, SHOPS
from models.intake import Incoming, IncomingOrder

#: Orders in a file: what the product judges together.
PAGE = tasks.intake.BATCH
SHOP = "benchmark"

Document = dict[str, Any]


def _connection(nodes: list[Document]) -> Document:
    return {"nodes": nodes, "pageInfo": {"hasNextPage": False, "endCursor": None}}


def _answered_by_shopify(order: Document) -> Document:
    """The order as GraphQL answers it: its lists are connections."""
    parts = [{**part, "lineItems": _connection(part["lineItems"])} for part in order["fulfillmentOrders"]]
    ours = ("fulfillments", "refunds", "edits")
    seen = {name: value for name, value in order.items() if name not in ours}
    return {**seen, "lineItems": _connection(order["lineItems"]), "fulfillmentOrders": _connection(parts)}


ANSWERED: dict[str, Callable[[Document], Document]] = {
    "shopify": _answered_by_shopify,
    "wechat_shop": wechat_shop_orders.seen,
    "douyin": douyin_orders.seen,
}
READERS: dict[str, tuple[Callable[[Any, str], IncomingOrder], str]] = {
    "shopify": (from_shopify.read_order, "id"),
    "wechat_shop": (from_wechat_shop.read_order, "order_id"),
    "douyin": (from_douyin.read_order, "order_id"),
}


def write_files(directory: Path, count: int, at: datetime) -> list[Path]:
    """Write the next `count` paid orders of the history, all placed at `at`; the files, each of one channel."""
    people, pages, files = customers(), {channel: list[str]() for channel in READERS}, list[Path]()

    def put(channel: str) -> None:
        file = directory / f"{len(files):05d}-{channel}.jsonl"
        file.write_text("".join(pages[channel]), encoding="utf-8")
        files.append(file)
        pages[channel].clear()

    for number, order in zip(range(count), cycle(orders()), strict=False):
        channel = CHANNEL_OF_HISTORY[order.channel]
        document = SHOPS[channel].written(basket(order, people[order.customer_id], at), number, at, paid=True)
        pages[channel].append(json.dumps(ANSWERED[channel](document), ensure_ascii=False) + "\n")
        if len(pages[channel]) == PAGE:
            put(channel)
    for channel, lines in pages.items():
        if lines:
            put(channel)
    return files


def read_file(file: Path) -> list[Incoming]:
    """The orders in a file, read from the disk and translated by the channel's own reader."""
    channel = file.stem.partition("-")[2]
    read, id_key = READERS[channel]
    with open(file, encoding="utf-8") as lines:
        return [incoming(read, json.loads(line), channel, SHOP, id_key) for line in lines]
