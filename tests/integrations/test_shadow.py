"""Shadow mode at the one door to the outside: reading works, and nothing that writes ever arrives."""

from __future__ import annotations

import ast
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from integrations import http
from integrations.carriers import Shipment
from integrations.channels import Parcel, Subscribes
from integrations.channels.coupons import CouponWish
from integrations.channels.shelves import ShelfChange
from integrations.channels.shopify_graphql import is_reading, request_body
from integrations.errors import PlatformError
from integrations.http import InShadow
from integrations.payments import RefundWish, Trade
from integrations.platforms import Platforms, connect
from integrations.production import Batch, WorkOrder
from integrations.sandbox import douyin_after_sales, wechat_after_sales
from integrations.sandbox.credentials import settings_for_sandbox
from integrations.sandbox.replay import SHOPS
from integrations.sandbox.shelves import stock_shelves
from models.effect import KINDS
from models.intake import IncomingOrder, Receiver
from models.settings import Settings
from tests.house import living_in
from tests.integrations.sandbox_server import NOON, Running, basket, sandbox
from tests.shadows import arrived

SHADOW = {"ORDERLOOM_SHADOW": "true"}
CHANNELS = tuple(SHOPS)
#: The channels whose stock and refunds are ours to change.
KEEPERS = ("shopify", "wechat_shop", "douyin")
#: What the platforms call the id of an order.
ID_NAMES = ("order_id", "orderId", "order_sn", "tid", "id")
GOODS = {"DOG-DRY-1": 9}
SOMEBODY = Receiver("赵玉珍", "16000006978", "浙江省", "杭州市", "西湖区", "李路 184 号")
ROOT = Path(__file__).resolve().parents[2]

Operation = Callable[[Platforms, dict[str, IncomingOrder]], Awaitable[object]]


async def _tell_shipped(known: Platforms, order: IncomingOrder) -> object:
    lines = tuple((line.channel_line_id, line.quantity) for line in order.lines)
    channel = known.channel(order.channel)
    parcel = Parcel("SF1", "sf_express", "https://example.com/t/1", lines)
    return await channel.tell_shipped(channel.shipping_notice(order.channel_order_id, order.handles, parcel))


async def _refund(known: Platforms, keeper: str, order: IncomingOrder) -> object:
    lines = tuple((line.channel_line_id, line.quantity) for line in order.lines)
    trade = Trade(order.channel_order_id, "" if keeper == order.channel else "OL-1")
    wish = RefundWish("R-1", trade, order.paid_fen, order.paid_fen, "CNY", "缺货", lines, order.handles)
    paying = known.keeper(keeper)
    return await paying.refund(paying.refund_request(wish))


async def _show(known: Platforms, channel: str) -> object:
    shelf = known.shelf(channel)
    (found,) = await shelf.listed(list(GOODS))  # looking is reading
    return await shelf.show(ShelfChange(found.sku, found.quantity, 3, found.handle, "key-1"))


async def _coupon(known: Platforms) -> object:
    desk = known.coupons["shopify"]
    return await desk.make_coupon(
        desk.coupon_request(CouponWish("SORRY-1", 500, 0, NOON, NOON + timedelta(days=9), "补偿券"))
    )


async def _waybill(known: Platforms) -> object:
    carrier = known.carrier()
    return await carrier.create_waybill(carrier.waybill_request(Shipment("SH-1-1", SOMEBODY, (("粮", 1),), 500)))


async def _release(known: Platforms) -> object:
    factory = known.production()
    work = WorkOrder("SH-1-1-1", "SH-1", "R-1", "MADE-1", 1, {"ING": 5}, NOON)
    return await factory.release("release-1", factory.release_request(Batch("PB261101-0001", 1, (work,))))


async def _call_back(known: Platforms) -> object:
    factory = known.production()
    return await factory.cancel("cancel-1", factory.cancel_request("SH-1-1-1", "取消"))


async def _message(known: Platforms) -> object:
    sms = known.sms()
    return await sms.send(sms.request("13800000000", "shipped", {"order_no": "SH-1"}, "SH-1-1-shipped"))


async def _tell_staff(known: Platforms) -> object:
    assert known.staff is not None
    return await known.staff.send(known.staff.request("核对库存"))


async def _subscribe(known: Platforms) -> object:
    channel = known.channel("shopify")
    assert isinstance(channel, Subscribes)
    return await channel.subscribe("https://example.com/webhooks/shopify")


#: Everything that writes: by kind of effect, and what writes besides them.
WRITES: dict[str, dict[str, Operation]] = {
    "ship_notice": {channel: lambda p, o, c=channel: _tell_shipped(p, o[c]) for channel in CHANNELS},  # type: ignore[misc]
    "refund": {
        **{channel: lambda p, o, c=channel: _refund(p, c, o[c]) for channel in KEEPERS},  # type: ignore[misc]
        "alipay": lambda p, o: _refund(p, "alipay", o["shopify"]),
        "wechat_pay": lambda p, o: _refund(p, "wechat_pay", o["shopify"]),
    },
    "coupon": {"shopify": lambda p, o: _coupon(p)},
    "waybill": {"sf": lambda p, o: _waybill(p)},
    "waybill_cancel": {"sf": lambda p, o: p.carrier().cancel_waybill("SH-1-1")},
    "production_release": {"mes": lambda p, o: _release(p)},
    "production_cancel": {"mes": lambda p, o: _call_back(p)},
    "sms": {"aliyun": lambda p, o: _message(p)},
    "staff_message": {"wecom": lambda p, o: _tell_staff(p)},
    "shelf": {channel: lambda p, o, c=channel: _show(p, c) for channel in KEEPERS},  # type: ignore[misc]
    "label": {"sf": lambda p, o: p.carrier().label("SF1")},
    # disclosures that use up a quota
    "receiver": {
        channel: lambda p, o, c=channel: p.channel(c).receiver(o[c].channel_order_id)  # type: ignore[misc]
        for channel in ("wechat_shop", "douyin", "taobao", "pinduoduo")
    },
    "subscription": {"shopify": lambda p, o: _subscribe(p)},
}


def _place(running: Running) -> dict[str, str]:
    """One paid order on each channel, for which the buyers on the masking channels want their money back."""
    ids = {}
    for number, channel in enumerate(CHANNELS):
        document = SHOPS[channel].written(basket(), number, NOON, paid=True)
        SHOPS[channel].save(running.world, document, NOON)
        ids[channel] = str(next(document[name] for name in ID_NAMES if name in document))
    douyin_after_sales.apply_for_refund(running.world, ids["douyin"], NOON)
    wechat_after_sales.apply_for_refund(running.world, ids["wechat_shop"], NOON)
    stock_shelves(running.world, GOODS)
    return ids


async def _read(known: Platforms, since: datetime) -> dict[str, IncomingOrder]:
    found: dict[str, IncomingOrder] = {}
    for channel in CHANNELS:
        async for page in known.channel(channel).orders_updated(since, NOON + timedelta(seconds=1)):
            found |= {order.channel: order for order in page if isinstance(order, IncomingOrder)}
    return found


async def test_orders_are_read_and_no_operation_that_writes_arrives(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        ids = _place(running)
        settings = Settings(**settings_for_sandbox(running.port, "http://127.0.0.1:9", more_channels=True))
        with living_in(SHADOW):
            known = connect(settings, running.client)
            # when orders, counts, payments, routes and messages are asked for
            orders = await _read(known, NOON - timedelta(hours=1))
            assert {channel: order.channel_order_id for channel, order in orders.items()} == ids
            for channel in CHANNELS:
                counted = await known.channel(channel).census(NOON - timedelta(hours=1), NOON + timedelta(seconds=1))
                assert counted.ids == {ids[channel]}
                assert (await known.channel(channel).order(ids[channel])).channel_order_id == ids[channel]
            for channel in KEEPERS:
                record = await known.keeper(channel).payment(Trade(ids[channel]))
                assert record.paid_fen == orders[channel].paid_fen
            assert await known.carrier().routes(["SF1"]) == {"SF1": []}
            assert await known.carrier().find_waybill("SH-1-1") is None
            sms = known.sms()
            assert await sms.find(sms.request("13800000000", "shipped", {}, "SH-1-1-shipped"), NOON) is None

            # then of everything that writes nothing arrives
            for kind, operations in WRITES.items():
                for platform, operation in operations.items():
                    with pytest.raises(InShadow, match="没有发出") as caught:
                        await operation(known, orders)
                    assert caught.value.code == "in_shadow", (kind, platform)
        assert arrived(running.world) == {}

        # and the very same operations do arrive otherwise
        known = connect(settings, running.client)
        for kind in ("ship_notice", "sms", "staff_message", "shelf"):
            for operation in WRITES[kind].values():
                await operation(known, orders)
        assert sum(arrived(running.world).values()) == 3 + len(CHANNELS) + 2


def test_every_kind_of_effect_has_its_operations_in_this_test() -> None:
    assert set(KINDS) <= set(WRITES)


@pytest.mark.parametrize("use", ["post", "get", "stream", "send", "redirected"])
async def test_what_uses_the_client_directly_is_refused_before_it_connects(use: str) -> None:
    # given somebody who listens and would notice
    with socket.create_server(("127.0.0.1", 0)) as listening, living_in(SHADOW):
        listening.setblocking(False)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/anything"
        async with http.client(trust_env=False) as client:
            with pytest.raises(InShadow):
                if use == "stream":
                    async with client.stream("POST", url):
                        pass
                elif use == "send":
                    await client.send(client.build_request("DELETE", url))
                elif use == "redirected":
                    await client.get(url, follow_redirects=True)
                else:
                    await getattr(client, use)(url)
        with pytest.raises(BlockingIOError):
            listening.accept()


async def test_a_call_is_no_reading_unless_it_says_so(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        url = f"http://127.0.0.1:{running.port}/control/counts"
        with living_in(SHADOW):
            with pytest.raises(InShadow) as caught:
                await http.call(running.client, "control", "GET", url)
            assert (await http.call(running.client, "control", "GET", url, reads=True)).json() == []
        assert caught.value.platform == "control"
        assert isinstance(caught.value, PlatformError)
        assert (await http.call(running.client, "control", "GET", url)).json() == []


@pytest.mark.parametrize(
    ("document", "reads"),
    [
        ("query orders { orders { id } }", True),
        ("\n{ shop { name } }", True),
        ("query webhooks { webhookSubscriptions(first: 5) { nodes { id } } }", True),
        ("mutation refundCreate { refundCreate { id } }", False),
        ("query a { shop { name } } mutation b { refundCreate { id } }", False),
        ("# a comment\nmutation b { x }", False),
        ("fragment f on Shop { name } query a { shop { ...f } }", False),
        ("", False),
    ],
)
def test_only_a_graphql_document_that_is_plainly_a_query_reads(document: str, reads: bool) -> None:
    assert is_reading(request_body(document, "x", {})) is reads


#: What makes a connection of its own: by module, the names that do (all of them where none is named).
CONNECTS: dict[str, set[str]] = {
    "httpx": {"AsyncClient", "Client", "AsyncHTTPTransport", "HTTPTransport", "request", "stream"}
    | {"get", "post", "put", "patch", "delete", "head", "options"},
    **{name: set() for name in ("requests", "aiohttp", "urllib3", "http.client", "urllib.request", "smtplib")},
    **{name: set() for name in ("ftplib", "websockets", "socketserver", "paramiko")},
}
THE_DOOR = Path("integrations/http.py")


def _connections(tree: ast.AST) -> list[str]:
    """What a module imports or calls that would connect to somewhere without passing the one door."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name in CONNECTS and not CONNECTS[name.name]]
        elif isinstance(node, ast.ImportFrom):
            wanted = CONNECTS.get(node.module or "")
            names = {name.name for name in node.names}
            found += [node.module or ""] if wanted == set() or (wanted and names & wanted) else []
            found += [f"{node.module}.{name}" for name in names if f"{node.module}.{name}" in CONNECTS]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and node.func.attr in CONNECTS.get(owner.id, ()):
                found.append(f"{owner.id}.{node.func.attr}")
        elif isinstance(node, ast.ClassDef):
            found += [f"class {node.name}" for base in node.bases if ast.unparse(base) == "httpx.AsyncClient"]
    return found


def _ours() -> list[Path]:
    files = [path for room in ("integrations", "tasks", "flows", "models") for path in (ROOT / room).rglob("*.py")]
    return [path for path in files if "sandbox" not in path.relative_to(ROOT).parts]


def test_nothing_but_the_one_door_makes_a_connection() -> None:
    others = {
        str(path.relative_to(ROOT)): found
        for path in _ours()
        if path.relative_to(ROOT) != THE_DOOR and (found := _connections(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert others == {}


@pytest.mark.parametrize(
    "code",
    [
        "import requests",
        "from urllib import request",
        "import urllib.request",
        "from httpx import AsyncClient",
        "import httpx\nhttpx.AsyncClient()",
        "import httpx\nhttpx.post('https://example.com')",
        "import httpx\nclass Mine(httpx.AsyncClient): ...",
    ],
)
def test_the_search_for_other_doors_finds_them(code: str) -> None:
    assert _connections(ast.parse(code)) != []


def test_the_door_takes_httpx_clients_by_type_only() -> None:
    assert isinstance(http.client(), http.OutwardClient)
    assert issubclass(http.OutwardClient, httpx.AsyncClient)
    assert _connections(ast.parse("import httpx\ndef use(client: httpx.AsyncClient) -> None: ...")) == []
