"""How a payment platform tells the merchant: once it has something to say, again and again until it is heard.

Faults of operation `callback`, asked once per event: `repeated` (posted 3 times), `forged` (an additional one, signed
by another key), `lost` (never posted: it must be found by asking), `late` (`detail.seconds` later, 300 by default).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from integrations.sandbox.world import Job, World

LATE = 300.0  # sandbox seconds

#: Posts an event, with a forged signature if asked to; whether the merchant took it.
Send = Callable[[dict[str, Any], bool], Awaitable[bool]]


def announce(world: World, kind: str, event: dict[str, Any]) -> None:
    """Have this event told by the job `kind`. `event["id"]` is its key in the journal."""
    world.later(0, kind, {"event": event, "tries": 0, "is_new": True})


async def tell(job: Job, world: World, platform: str, waits: Sequence[float], send: Send) -> None:
    """Tell the event of this job; not taken, it is told again after the next of `waits` (sandbox seconds)."""
    event, tries = job.body["event"], int(job.body["tries"])
    fault = world.fault(platform, "callback") if job.body["is_new"] else None
    kind = fault.kind if fault else ""
    if kind == "lost":
        return
    if fault and kind == "late":
        world.later(float(fault.detail.get("seconds", LATE)), job.kind, job.body | {"is_new": False})
        return
    if kind == "forged":
        await send(event, True)
    taken = await send(event, False)
    with world.transaction():
        world.count(platform, "callback", event["id"], took_effect=taken)
        if not taken and tries < len(waits):
            world.later(waits[tries], job.kind, job.body | {"tries": tries + 1, "is_new": False})
    for _ in range(2 if kind == "repeated" else 0):
        await send(event, False)
        world.count(platform, "callback", event["id"], took_effect=False)
