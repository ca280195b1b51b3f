"""How shops push news of orders to the seller: gathered for a moment, told in batches, again when it is not taken.

Only a platform that is served pushes; the document `push.off` with `{"off": true}` stops all of it. Faults of operation
`push`, asked once per batch: `repeat_push` (told twice), `late_push` (`detail.seconds` later, 300 by default),
`forged_push` (told once more before, signed with another secret), `lost_push` (never told: it must be found by
reading). The journal counts under `callback` what somebody answered: it takes effect when it is taken first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any

import httpx

from integrations.sandbox.jobs import Handler, Post
from integrations.sandbox.world import Job, World

#: One piece of news: `id` is its key in the journal, the rest is the platform's own.
Message = dict[str, Any]

#: Tells messages, signed by somebody else if asked to; the ids of those taken, or None when nobody was there at all.
Tell = Callable[[httpx.AsyncClient, list[Message], bool], Awaitable[Collection[str] | None]]

OFF = "push.off"
SERVED = "push.served"
GATHERED = "push.gathered"  # platform -> {"messages", "is_due": whether a job will tell them}
MOST_TOGETHER = 50
GATHER_SECONDS = 0.2  # real seconds
PATIENCE = 5.0  # real seconds until an answer that has not come is none
AGAIN_AFTER = (5.0, 15.0, 60.0)  # sandbox seconds
LATE = 300.0  # sandbox seconds


def serve(world: World, platform: str) -> None:
    """From now on the platform has news to tell."""
    world.put(SERVED, platform, {})


def are_on(world: World, platform: str) -> bool:
    """Whether the platform pushes now."""
    return world.get(SERVED, platform) is not None and not (world.get(OFF, "") or {"off": False})["off"]


def announce(world: World, platform: str, messages: list[Message]) -> None:
    """Have these told soon, with whatever else comes up meanwhile. Only while pushes are on."""
    if not messages:
        return
    gathered = world.get(GATHERED, platform) or {"messages": [], "is_due": False}
    gathered["messages"] += messages
    if len(gathered["messages"]) >= MOST_TOGETHER:
        world.later(0, f"{platform}.push", {"messages": gathered["messages"], "tries": 0, "is_new": True})
        gathered["messages"] = []
    elif not gathered["is_due"]:
        world.later(GATHER_SECONDS * world.speed, f"{platform}.push_gathered", {})
        gathered["is_due"] = True
    world.put(GATHERED, platform, gathered)


def jobs_of(platform: str, tell: Tell) -> dict[str, Handler]:
    """The jobs that `announce` leaves behind."""

    async def push_gathered(job: Job, world: World, post: Post) -> float | None:
        with world.transaction():
            gathered = world.get(GATHERED, platform) or {"messages": []}
            if gathered["messages"]:
                world.later(0, f"{platform}.push", {"messages": gathered["messages"], "tries": 0, "is_new": True})
            world.put(GATHERED, platform, {"messages": [], "is_due": False})
        return None

    async def push(job: Job, world: World, post: Post) -> float | None:
        await _push(job, world, platform, tell)
        return None

    return {f"{platform}.push_gathered": push_gathered, f"{platform}.push": push}


async def _push(job: Job, world: World, platform: str, tell: Tell) -> None:
    messages, tries = job.body["messages"], int(job.body["tries"])
    fault = world.fault(platform, "push") if job.body["is_new"] else None
    kind = fault.kind if fault else ""
    if kind == "lost_push":
        return
    if fault and kind == "late_push":
        world.later(float(fault.detail.get("seconds", LATE)), job.kind, job.body | {"is_new": False})
        return
    # what was told is in the answer's body; loopback needs neither certificates nor a proxy
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False, verify=False) as client:
        if kind == "forged_push":
            await tell(client, messages, True)
        taken = await tell(client, messages, False)
        repeated = await tell(client, messages, False) if kind == "repeat_push" else None
    left = [message for message in messages if message["id"] not in (taken or ())]
    with world.transaction():
        for first, answered in ((True, taken), (False, repeated)):
            for message in messages if answered is not None else []:
                took_effect = first and message["id"] in (answered or ())
                world.count(platform, "callback", message["id"], took_effect=took_effect)
        if left and tries < len(AGAIN_AFTER):
            body = {"messages": left, "tries": tries + 1, "is_new": False}
            world.later(AGAIN_AFTER[tries], job.kind, body)
