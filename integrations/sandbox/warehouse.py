"""The people in the seller's warehouse: they read the robot's messages and answer stock checks by signed webhook.

By default they find everything. `behave` has them look for so many sandbox seconds, miss every n-th order, or say
nothing at all. A webhook that is not taken is sent again, later and later.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from integrations.sandbox.credentials import Credentials
from integrations.sandbox.jobs import Handler, Post
from integrations.sandbox.world import Job, World
from integrations.standard_webhooks import headers

PLATFORM = "warehouse"
CHECK = "warehouse.check"  # a check's number -> its answer
BEHAVIOUR = "warehouse.behaviour"
#: How long they look, in sandbox seconds.
LOOK_SECONDS = 60.0
LONGEST_DELAY = 60.0  # seconds

_NUMBER = re.compile(r"\bSC-[0-9]+\b")


def behave(world: World, *, seconds: float = LOOK_SECONDS, miss_every: int = 0, silent: bool = False) -> None:
    """From now on they look for `seconds`, miss every `miss_every`-th check (0: none), or say nothing."""
    world.put(BEHAVIOUR, "", {"seconds": seconds, "miss_every": miss_every, "silent": silent})


def hear(world: World, content: str) -> None:
    """They read a message: every check that it names for the first time is looked into. Inside a transaction."""
    how = world.get(BEHAVIOUR, "") or {"seconds": LOOK_SECONDS, "miss_every": 0, "silent": False}
    for number in dict.fromkeys(_NUMBER.findall(content)):
        if world.get(CHECK, number) is not None:
            continue
        place = world.size(CHECK) + 1
        there = not (how["miss_every"] and place % how["miss_every"] == 0)
        world.put(CHECK, number, {"there": there})
        if not how["silent"]:
            world.later(how["seconds"], "warehouse.answer", {"check": number, "there": there, "tries": 0})


def jobs(credentials: Credentials, portal_url: str) -> dict[str, Handler]:
    """The answers that are due."""
    address = f"{portal_url}/webhooks/warehouse"

    async def answer(job: Job, world: World, post: Post) -> float | None:
        return await _answer(job.body, world, post, address, credentials.warehouse_secret)

    return {"warehouse.answer": answer}


async def _answer(said: dict[str, Any], world: World, post: Post, address: str, secret: str) -> float | None:
    body = json.dumps(
        {
            "type": "stock_check.answered",
            "timestamp": world.now().isoformat(timespec="seconds"),
            "data": {"check": said["check"], "there": said["there"], "who": "老周"},
        },
        ensure_ascii=False,
    ).encode()
    message_id = f"msg_{said['check']}"
    status = await post(address, body, headers(secret, message_id, int(time.time()), body))
    taken = 200 <= status < 300
    with world.transaction():
        world.count(PLATFORM, "answer", said["check"], took_effect=taken)
        if not taken and status not in (400, 404):
            delay = min(2.0 ** said["tries"], LONGEST_DELAY) * world.speed  # real seconds, whatever the speed
            world.later(delay, "warehouse.answer", said | {"tries": said["tries"] + 1})
    return None
