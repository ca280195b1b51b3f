"""The control API of the sandbox: what happened, what shall go wrong, and orders to place.

For the demo, the benchmarks and the tests; the sandbox listens on loopback only.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from integrations.sandbox import warehouse
from integrations.sandbox.baskets import FLAWS
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.replay import SHOPS, replay
from integrations.sandbox.standing import listed, standing
from integrations.sandbox.world import World


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """The control routes, relative to `/control`."""

    async def counts(request: Request) -> Response:
        return JSONResponse(world.counts())

    async def effects(request: Request) -> Response:
        asked = request.query_params
        return JSONResponse(world.effects(asked["platform"], asked["operation"]))

    async def set_fault(request: Request) -> Response:
        wanted: dict[str, Any] = await request.json()
        if not {"platform", "kind"} <= wanted.keys():
            return JSONResponse({"error": "a fault needs a platform and a kind"}, 400)
        world.set_fault(
            wanted["platform"],
            wanted.get("operation", "*"),
            wanted["kind"],
            int(wanted.get("times", 1)),
            wanted.get("seconds"),
            wanted.get("detail"),
        )
        return JSONResponse({"set": True})

    async def clear_faults(request: Request) -> Response:
        world.clear_faults()
        return JSONResponse({"cleared": True})

    async def place(request: Request) -> Response:
        wanted: dict[str, Any] = await request.json()
        channel = wanted.get("channel")
        if not wanted.get("orders") or not _is_channel(channel):
            return JSONResponse({"error": f"orders must be above 0; channel one of {', '.join(SHOPS)}, or none"}, 400)
        planned = replay(
            world,
            int(wanted["orders"]),
            float(wanted.get("seconds", 0)),
            channel=channel,
            bad_every=int(wanted.get("bad_every", 0)),
            unpaid_every=int(wanted.get("unpaid_every", 0)),
        )
        return JSONResponse({"orders": int(wanted["orders"]), "jobs": planned})

    async def place_bad(request: Request) -> Response:
        channel = json.loads(await request.body() or b"{}").get("channel")
        if not _is_channel(channel):
            return JSONResponse({"error": f"channel is one of {', '.join(SHOPS)}, or none"}, 400)
        replay(world, len(FLAWS), 0, channel=channel, bad_every=1)
        return JSONResponse({"flaws": FLAWS})

    async def state(request: Request) -> Response:
        return JSONResponse(standing(world, credentials))

    async def list_orders(request: Request) -> Response:
        return JSONResponse(listed(world))

    async def set_warehouse(request: Request) -> Response:
        wanted: dict[str, Any] = await request.json()
        seconds = float(wanted.get("seconds", warehouse.LOOK_SECONDS))
        miss_every, silent = int(wanted.get("miss_every", 0)), bool(wanted.get("silent", False))
        warehouse.behave(world, seconds=seconds, miss_every=miss_every, silent=silent)
        return JSONResponse({"seconds": seconds, "miss_every": miss_every, "silent": silent})

    async def set_speed(request: Request) -> Response:
        speed = float((await request.json())["speed"])
        if speed <= 0:
            return JSONResponse({"error": "speed must be above 0"}, 400)
        world.set_speed(speed)
        return JSONResponse({"speed": speed})

    return [
        Route("/counts", counts),
        Route("/effects", effects),
        Route("/faults", set_fault, methods=["POST"]),
        Route("/faults", clear_faults, methods=["DELETE"]),
        Route("/replay", place, methods=["POST"]),
        Route("/place_bad", place_bad, methods=["POST"]),
        Route("/state", state),
        Route("/orders", list_orders),
        Route("/speed", set_speed, methods=["POST"]),
        Route("/warehouse", set_warehouse, methods=["POST"]),
    ]


def _is_channel(channel: Any) -> bool:
    return channel is None or channel in SHOPS
