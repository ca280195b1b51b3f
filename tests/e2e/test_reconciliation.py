"""Whatever happens on a platform and on the way: once all is quiet again, our book is the platform's, line by line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlmodel import Session

from integrations.channels import Census, Channel
from integrations.sandbox import channel_pushes, jobs, shopify_webhooks
from models import window
from models.database import in_transaction
from models.settings import settings as our_settings
from tasks import intake
from tasks.intake import Pulled
from tests.database import TemporaryServer
from tests.e2e.played_shop import CHANNELS, Clock, PlayedShop, selling_everywhere, short_pages_and_a_clock
from tests.e2e.shop_story import DOINGS, HAPPENINGS, Step, Story
from tests.house import House, with_policy

pytestmark = pytest.mark.slow

STORIES = 12  # of each channel
BEGINNING: list[Step] = [("place", 3, 1), ("pull", 0, 0), ("place", 1, 0)]
STEPS = st.lists(
    st.tuples(st.sampled_from(HAPPENINGS + DOINGS), st.integers(0, 39), st.integers(0, 10_000)),
    min_size=6,
    max_size=16,
)
#: Sabotage is tried on one platform of each kind: whole orders behind a cursor, ids only, whole orders by number.
THREE = ("shopify", "wechat_shop", "douyin")
#: Three pages of orders, further back than windows overlap.
THREE_PAGES: list[Step] = [("place", 3, 1), ("place", 3, 1), ("place", 3, 1), ("passes", 10, 0)]
#: Numbers by which a story has the second page fail for good, or be left out.
BREAKS_OFF, LEFT_OUT = (10, 2), (22, 3)


@pytest.fixture(scope="module")
def _furnished(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel_pushes, "GATHER_SECONDS", 0.02)
        patch.setattr(jobs, "LOOK_EVERY", 0.02)
        with selling_everywhere(database_server, tmp_path_factory.mktemp("house")) as furnished:
            to = f"{our_settings().portal_url()}/webhooks/shopify"
            furnished.sandbox.world.put(shopify_webhooks.EVERYTHING_TO, "", {"uri": to})
            yield furnished


@pytest.fixture(scope="module")
def _clock() -> Iterator[Clock]:
    with short_pages_and_a_clock() as clock:
        yield clock


@pytest.mark.parametrize("channel", CHANNELS)
@given(steps=STEPS)
@settings(
    max_examples=STORIES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # to shorten a story that fails takes minutes: it is told as it was
)
async def test_after_any_story_the_book_is_the_platforms(
    _furnished: House, _clock: Clock, channel: str, steps: list[Step]
) -> None:
    story = _new_story(_furnished, channel, _clock)
    await story.play([*BEGINNING, *steps])
    assert await story.problems() == []


def _new_story(home: House, channel: str, clock: Clock) -> Story:
    shop = PlayedShop(home, channel, clock)
    shop.begin()
    return Story(shop)


# what the check is worth: three ways in which a reading can be wrong, each of them found ---------------------------


@pytest.mark.parametrize("channel", THREE)
async def test_windows_that_only_touch_lose_what_is_indexed_late_and_that_is_found(
    _furnished: House, _clock: Clock, channel: str
) -> None:
    # given a reading without overlap and without a second look; nobody tells us
    story = _in_silence(_furnished, channel, _clock)
    steps = [("place", 1, 1), ("hide", 0, 1), ("pull", 0, 0), ("passes", 20, 0), ("pull", 0, 0)]
    with with_policy(pull_overlap_minutes=0, second_look_minutes=0):
        await story.play(steps)
        assert _kinds(await story.problems()) == ["missing (to_ship)"]
    # with both, the same story ends well
    again = _in_silence(_furnished, channel, _clock)
    await again.play(steps)
    assert await again.problems() == []


@pytest.mark.parametrize("channel", THREE)
async def test_a_mark_that_moves_before_the_commit_loses_what_breaks_off_and_that_is_found(
    _furnished: House, _clock: Clock, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = intake._read

    async def marking_first(channel: Channel, window_id: int, pulled: Pulled) -> set[str]:
        def mark(session: Session) -> None:
            window.mark_read(session, channel.name, channel.shop, pulled.until, {}, pulled.until)

        await in_transaction(mark)
        return await read(channel, window_id, pulled)

    story = _in_silence(_furnished, channel, _clock)
    steps: list[Step] = [*THREE_PAGES, ("fault", *BREAKS_OFF), ("pull", 0, 0), ("passes", 20, 0)]
    with monkeypatch.context() as sabotage:
        sabotage.setattr(intake, "_read", marking_first)
        await story.play(steps)
        story.shop.home.sandbox.world.clear_faults()
        await story.play([("pull", 0, 0)])
        assert "missing (to_ship)" in _kinds(await story.problems())
    again = _in_silence(_furnished, channel, _clock)
    await again.play(steps)
    assert await again.problems() == []


@pytest.mark.parametrize("channel", THREE)
async def test_a_page_left_out_is_lost_without_the_census_and_that_is_found(
    _furnished: House, _clock: Clock, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def believing(channel: Channel, window_id: int, read: set[str], pulled: Pulled) -> Census:
        return Census(len(read), frozenset(read))

    steps: list[Step] = [*THREE_PAGES, ("fault", *LEFT_OUT), ("pull", 0, 0), ("passes", 20, 0)]
    with monkeypatch.context() as sabotage, with_policy(second_look_minutes=0):  # which would find it an hour later
        sabotage.setattr(intake, "_prove", believing)
        story = _in_silence(_furnished, channel, _clock)
        await story.play(steps)
        assert _kinds(await story.problems())[:1] == ["missing (to_ship)"]
    again = _in_silence(_furnished, channel, _clock)
    await again.play(steps)
    assert await again.problems() == []


def _in_silence(home: House, channel: str, clock: Clock) -> Story:
    """A story in which nothing is pushed."""
    home.sandbox.world.put(channel_pushes.OFF, "", {"off": True})
    home.sandbox.world.put(shopify_webhooks.EVERYTHING_TO, "", {})
    return _new_story(home, channel, clock)


def _kinds(problems: list[str]) -> list[str]:
    return [said.rpartition(": ")[2] for said in problems]
