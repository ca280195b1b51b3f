"""A WeCom group robot as PROTOCOLS.md §9 has it: HTTP 200 with an errcode, 20 messages a minute, no key.

Faults of operation `send`: the generic ones, `45009`, `93000` and `-1`.
"""

from __future__ import annotations

import hashlib
import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from integrations.sandbox import warehouse
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.faults import play
from integrations.sandbox.limit import SlidingLimit
from integrations.sandbox.world import World

PLATFORM = "wecom"
MESSAGE = "wecom_message"
A_MINUTE, MOST_BYTES = 20, 4096

SAID = {
    "45009": "api freq out of limit",
    "93000": "invalid webhook url, hint: [sandbox], from ip: 127.0.0.1, "
    "more info at https://open.work.weixin.qq.com/devtool/query?e=93000",
    "40058": "invalid parameter",
    "-1": "system busy",
}


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """`POST /cgi-bin/webhook/send`."""
    limit = SlidingLimit(A_MINUTE)

    async def send(request: Request) -> Response:
        body = await request.body()
        fault = world.fault(PLATFORM, "send")
        if fault and fault.kind in SAID:
            return _no(fault.kind)
        if request.query_params.get("key") != credentials.wecom_robot_key:
            return _no("93000")
        try:
            message = json.loads(body)
            content = message["markdown"]["content"]
            fits = message["msgtype"] == "markdown" and 0 < len(content.encode()) <= MOST_BYTES
        except (ValueError, KeyError, TypeError, AttributeError):
            fits = False
        if not fits:
            return _no("40058")

        def act() -> Response:
            if not limit.take(60.0 / world.speed):
                return _no("45009")
            with world.transaction():
                number = world.size(MESSAGE) + 1
                world.put(MESSAGE, f"{number:08d}", {"content": content})
                warehouse.hear(world, content)
                world.count(PLATFORM, "send", hashlib.sha256(body).hexdigest()[:16], took_effect=True)
            return JSONResponse({"errcode": 0, "errmsg": "ok"})

        return await play(request, fault, act)

    return [Route("/cgi-bin/webhook/send", send, methods=["POST"])]


def _no(code: str) -> Response:
    return JSONResponse({"errcode": int(code), "errmsg": SAID[code]})
