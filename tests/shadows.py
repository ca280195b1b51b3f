"""A house that is kept in shadow: its platforms are read, and nothing arrives at them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text

from integrations.sandbox.world import World
from models.database import transact, utcnow
from models.shadow import open_book_as
from tests.database import TemporaryServer
from tests.house import House, house, living_in

LIVE = {"ORDERLOOM_SHADOW": "false"}


@contextmanager
def shadow_house(
    server: TemporaryServer, directory: Path, overrides: Mapping[str, Any] | None = None
) -> Iterator[House]:
    """A furnished house whose book is a shadow."""
    with house(server, directory, overrides={"shadow": "true", **(overrides or {})}) as home:
        transact(lambda session: open_book_as(session, True, utcnow()))
        yield home


def arrived(world: World) -> Counter[tuple[str, str]]:
    """Deliveries that reached a platform, by (platform, operation); what the platforms push to us is none of them."""
    return Counter(
        {
            (row["platform"], row["operation"]): row["deliveries"]
            for row in world.counts()
            if row["operation"] != "callback"
        }
    )


@contextmanager
def people_at_work() -> Iterator[None]:
    """While the block runs, this process is not in shadow: for what people do on the platforms themselves."""
    with living_in(LIVE):
        yield


def batches_are_due() -> None:
    """The time at which every batch is expected has come."""

    def work(session: Any) -> None:
        for statement in (
            "UPDATE work_order SET expected_at = now() WHERE state = 'released'",
            "UPDATE fulfilment SET ready_at = now() WHERE ready_at IS NOT NULL AND waiting_on = 'production'",
            "SELECT pg_notify('fulfilment_ready', '')",
        ):
            session.connection().execute(text(statement))

    transact(work)
