"""One at a time: the lock, and that it goes with whoever held it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models.alone import alone
from models.database import engine_for
from tests.house import living_in


@pytest.fixture(autouse=True)
def _here(database_url: str) -> Iterator[None]:
    with living_in({"ORDERLOOM_DATABASE_URL": database_url}):
        yield
    engine_for(database_url).dispose()


async def test_second_is_told_no_and_others_are_not_held() -> None:
    async with alone("shelf douyin") as first, alone("shelf douyin") as second, alone("shelf shopify") as other:
        assert (first, second, other) == (True, False, True)
    async with alone("shelf douyin") as again:
        assert again is True


async def test_of_many_at_once_exactly_one_gets_in() -> None:
    everybody = asyncio.Barrier(8)

    async def enter() -> bool:
        async with alone("shelf") as mine:
            await everybody.wait()
            return mine

    assert sum(await asyncio.gather(*(enter() for _ in range(8)))) == 1


async def test_lock_of_a_block_that_fails_or_loses_its_connection_is_free(session: Session) -> None:
    with pytest.raises(ValueError, match="broken"):
        async with alone("shelf"):
            raise ValueError("broken")
    async with alone("shelf") as mine:
        assert mine
        killed = session.connection().execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        )
        assert [row[0] for row in killed] == [True]
        async with alone("shelf") as successor:
            assert successor
