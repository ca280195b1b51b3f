"""WeCom robot: cutting on character boundaries, and the client against the sandbox over real HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from integrations import http
from integrations.errors import Later, Refused, Unclear
from integrations.messaging.wecom import WeComRobot, cut_to
from tests.sandbox import Sandbox, running_sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path) as running:
        yield running


@pytest.fixture
async def robot(sandbox: Sandbox) -> AsyncIterator[WeComRobot]:
    async with http.client() as client:
        yield WeComRobot(sandbox.settings.wecom, client, timeout=5)


def content(request: bytes) -> str:
    return str(json.loads(request)["markdown"]["content"])


@pytest.mark.parametrize("letter", ["a", "é", "猫", "🐈"])
@pytest.mark.parametrize("shift", range(4))
def test_text_is_cut_between_characters(letter: str, shift: int) -> None:
    cut = cut_to("x" * shift + letter * 5000, 4096)
    assert 4096 - 3 <= len(cut.encode()) <= 4096
    assert cut.endswith(f"{letter}…")
    assert "\N{REPLACEMENT CHARACTER}" not in cut


def test_text_that_just_fits_is_left_alone() -> None:
    assert cut_to("猫" * 1365 + "x", 4096) == "猫" * 1365 + "x"


async def test_mentions_survive_the_cut(robot: WeComRobot) -> None:
    message = content(robot.request("🐈" * 2000, ("wangmin", "lihua")))
    assert len(message.encode()) <= 4096
    assert message.endswith("…\n<@wangmin>\n<@lihua>")


async def test_message_reaches_the_group(robot: WeComRobot, sandbox: Sandbox) -> None:
    await robot.send(robot.request("**积压** 12 单 🐈"))
    assert sandbox.world.window("wecom_message") == [{"content": "**积压** 12 单 🐈"}]


async def test_longest_message_is_accepted(robot: WeComRobot, sandbox: Sandbox) -> None:
    await robot.send(robot.request("🐈" * 5000))
    assert sandbox.world.size("wecom_message") == 1


async def test_twenty_first_message_in_a_minute_has_to_wait(robot: WeComRobot, sandbox: Sandbox) -> None:
    for number in range(20):
        await robot.send(robot.request(f"消息 {number}"))
    with pytest.raises(Later) as later:
        await robot.send(robot.request("消息 20"))
    assert (later.value.code, later.value.retry_after) == ("45009", 60.0)
    assert sandbox.world.size("wecom_message") == 20


async def test_minute_passes_at_the_speed_of_the_sandbox(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, speed=1e6) as running:
        async with http.client() as client:
            robot = WeComRobot(running.settings.wecom, client)
            for number in range(21):
                await robot.send(robot.request(f"消息 {number}"))
        assert running.world.size("wecom_message") == 21


async def test_removed_robot_is_refused_with_a_hint(sandbox: Sandbox) -> None:
    wrong = sandbox.settings.wecom.model_copy(update={"robot_key": SecretStr("gone")})
    async with http.client() as client:
        robot = WeComRobot(wrong, client)
        with pytest.raises(Refused, match=r"93000.*robot_key"):
            await robot.send(robot.request("hello"))
    assert sandbox.world.size("wecom_message") == 0


@pytest.mark.parametrize(("kind", "error"), [("45009", Later), ("-1", Later), ("93000", Refused), ("drop", Unclear)])
async def test_codes_fall_into_their_classes(
    robot: WeComRobot, sandbox: Sandbox, kind: str, error: type[Exception]
) -> None:
    sandbox.world.set_fault("wecom", "send", kind)
    with pytest.raises(error):
        await robot.send(robot.request("hello"))


async def test_bytes_that_are_no_message_are_refused(robot: WeComRobot) -> None:
    with pytest.raises(Refused, match="40058"):
        await robot.send(b'{"msgtype":"text"}')
