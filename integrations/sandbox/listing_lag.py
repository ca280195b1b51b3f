"""Orders that a platform's listing does not show for a while although they are there: an index that lags behind."""

from __future__ import annotations

from integrations.sandbox.world import World

KIND = "listing_lag"  # "kind of the orders:order" -> {"order", "until": epoch seconds, "is_counted"}


def hide(world: World, kind: str, order_id: str, seconds: float, *, is_counted: bool = True) -> None:
    """Leave the order out of listings for so many real seconds; platforms that count still count it, or do not."""
    until = world.now().timestamp() + seconds
    world.put(f"{KIND}.{kind}", order_id, {"order": order_id, "until": until, "is_counted": is_counted})


def hidden(world: World, kind: str) -> dict[str, bool]:
    """The orders of this kind that listings leave out now, and whether they are counted nevertheless."""
    now = world.now().timestamp()
    return {lag["order"]: lag["is_counted"] for lag in world.window(f"{KIND}.{kind}") if lag["until"] > now}
