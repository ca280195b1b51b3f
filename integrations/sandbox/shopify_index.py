"""The search index of the played Shopify shop, which may lag: an order that exists, and a search does not find yet.

It can be read by its id all the while. Whether the count already has it is another matter, as on the platform.
"""

from __future__ import annotations

from integrations.sandbox.world import World

HIDDEN = "shopify.hidden"  # order id -> {"until": epoch seconds, "counted": whether the count has it already}
LATE = "shopify.late_index"  # "" -> {"every": n, "seconds": s, "counted": …, "seen": new orders so far}


def hide(world: World, order_id: str, seconds: float, *, counted: bool = True) -> None:
    """This order is listed only after so many sandbox seconds from now; until then it is `counted`, or not even that.

    0 seconds: from now on it is listed.
    """
    until = world.now().timestamp() + seconds / world.speed
    world.put(HIDDEN, order_id, {"id": order_id, "until": until, "counted": counted})


def index_late(world: World, *, every: int, seconds: float, counted: bool = True) -> None:
    """From now on every `every`-th new order is hidden for so many sandbox seconds (0: none is)."""
    world.put(LATE, "", {"every": every, "seconds": seconds, "counted": counted, "seen": 0})


def admit(world: World, order_id: str) -> None:
    """A new order: listed at once, unless `index_late` has it wait."""
    plan = world.get(LATE, "")
    if plan is None or not plan["every"]:
        return
    seen = plan["seen"] + 1
    world.put(LATE, "", plan | {"seen": seen})
    if seen % plan["every"] == 0:
        hide(world, order_id, plan["seconds"], counted=plan["counted"])


def hidden(world: World) -> dict[str, bool]:
    """The orders that no search lists at this moment, and whether the count has them."""
    now = world.now().timestamp()
    return {entry["id"]: entry["counted"] for entry in world.window(HIDDEN) if entry["until"] > now}
