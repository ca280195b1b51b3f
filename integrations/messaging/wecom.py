"""WeCom group robot: Markdown for staff (PROTOCOLS.md §9). Answers come as HTTP 200 with an `errcode`."""

from __future__ import annotations

import json

import httpx

from integrations.errors import Later, Refused, Unclear
from integrations.http import TOTAL_TIMEOUT, call
from models.settings import WeComSettings

PLATFORM = "wecom"
MOST_BYTES = 4096  # of UTF-8, in one Markdown message
CUT = "…"
NOT_NOW = {45009: 60.0, -1: 5.0}  # errcode → seconds: 20 messages a minute per robot; "system busy"
WHAT_TO_DO = {93000: "the robot key is wrong or the robot was removed: set wecom.robot_key again"}


def cut_to(text: str, most_bytes: int) -> str:
    """The text if it fits into so many bytes of UTF-8, else its beginning and `…`, cut between characters."""
    encoded = text.encode()
    if len(encoded) <= most_bytes:
        return text
    return encoded[: most_bytes - len(CUT.encode())].decode(errors="ignore") + CUT


class WeComRobot:
    """One group robot (`StaffMessages`). The HTTP client belongs to the caller."""

    name = PLATFORM

    def __init__(self, settings: WeComSettings, client: httpx.AsyncClient, timeout: float = TOTAL_TIMEOUT) -> None:
        self._settings = settings
        self._client = client
        self._timeout = timeout

    def request(self, markdown: str, mention: tuple[str, ...] = ()) -> bytes:
        """The bytes of one message, cut to 4096 bytes of content; mentions (user ids) are kept whole. Pure."""
        mentions = "".join(f"\n<@{user}>" for user in mention)
        content = cut_to(markdown, MOST_BYTES - len(mentions.encode())) + mentions
        return json.dumps({"msgtype": "markdown", "markdown": {"content": content}}, ensure_ascii=False).encode()

    async def send(self, request: bytes) -> None:
        """Send it. `Later` above 20 a minute, `Refused` when the robot is gone or the message is bad."""
        response = await call(
            self._client,
            PLATFORM,
            "POST",
            f"{self._settings.base_url}/cgi-bin/webhook/send?key={self._settings.robot_key.get_secret_value()}",
            content=request,
            headers={"content-type": "application/json; charset=utf-8"},
            timeout=self._timeout,
        )
        try:
            answer = response.json()
            code, message = int(answer["errcode"]), str(answer.get("errmsg", ""))
        except (ValueError, KeyError, TypeError) as error:
            raise Unclear(PLATFORM, "unreadable", response.text[:300]) from error
        if code in NOT_NOW:
            raise Later(PLATFORM, str(code), message, NOT_NOW[code])
        if code != 0:
            hint = WHAT_TO_DO.get(code)
            raise Refused(PLATFORM, str(code), f"{message}; {hint}" if hint else message)
