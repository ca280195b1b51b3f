"""One way to ask the WeChat shop platform 微信小店: stable token, `errcode`, errors in three classes."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx

from integrations.channels.payload import answer, identity, integer, text, understood
from integrations.errors import Later, Refused, Unclear
from integrations.http import call
from models.settings import WeChatShopSettings

NAME = "wechat_shop"

#: Paths that change nothing and cost nothing; decoding a receiver counts against a quota, and is none of them.
READS = frozenset(
    {
        "/channels/ec/order/list/get",
        "/channels/ec/order/get",
        "/channels/ec/product/list/get",
        "/channels/ec/product/get",
        "/channels/ec/product/stock/batchget",
        "/channels/ec/aftersale/getaftersaleorder",
    }
)
_TOKEN_REFUSED = {"40001", "40014", "42001"}
_BUSY = -1  # the system failed over there: whether before or after acting is not said
#: Quotas, and after how many seconds it is worth asking again; 10021059: one refund of an order a minute, 10021044:
#: too many are at it.
_QUOTAS = {45011: 20.0, 45009: 3600.0, 10021059: 60.0, 10021044: 5.0}
_RENEW_BEFORE = 300.0  # seconds before its end that the platform hands out the next token


def body_of(params: dict[str, Any]) -> bytes:
    """The bytes of a request, the same for the same values."""
    return json.dumps(params, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


class WeChatApi:
    """The platform's API for one shop; keeps the token."""

    def __init__(self, settings: WeChatShopSettings, client: httpx.AsyncClient, timeout: float) -> None:
        """`timeout` is the total one of each call, in seconds."""
        self._settings = settings
        self._client = client
        self._timeout = timeout
        self.base = settings.base_url.rstrip("/")
        self._token = ""
        self._token_until = 0.0
        self._lock = asyncio.Lock()

    async def ask(self, path: str, body: bytes) -> dict[str, Any]:
        """The answer to `path` ("/channels/ec/order/get"); a token that is refused is renewed once."""
        token = await self._current_token()
        try:
            return await self._post(path, body, {"access_token": token}, reads=path in READS)
        except Refused as refused:
            if refused.code not in _TOKEN_REFUSED:
                raise
        token = await self._current_token(refused=token)
        return await self._post(path, body, {"access_token": token}, reads=path in READS)

    async def _post(
        self, path: str, body: bytes, params: dict[str, str] | None = None, *, reads: bool
    ) -> dict[str, Any]:
        response = await call(
            self._client,
            NAME,
            "POST",
            self.base + path,
            content=body,
            headers={"content-type": "application/json"},
            params=params,
            timeout=self._timeout,
            reads=reads,
        )
        result = answer(response, NAME)
        with understood(NAME):
            code = integer(result.get("errcode"), "errcode", 0)
            said = text(result.get("errmsg"), "errmsg")[:300]
        if code == 0:
            return result
        if code == _BUSY:
            raise Unclear(NAME, str(code), said)
        if code in _QUOTAS:
            raise Later(NAME, str(code), said, _QUOTAS[code])
        raise Refused(NAME, str(code), said)

    async def _current_token(self, refused: str | None = None) -> str:
        """A token that is good for some minutes more and is not the refused one."""
        async with self._lock:
            if self._token != refused and time.monotonic() < self._token_until:
                return self._token
            try:
                await self._renew(force=False)
                if self._token == refused:
                    # the platform holds it for good although it refused it; 20 of these a day
                    await self._renew(force=True)
            except Unclear as error:  # what was to be asked with the token has not left the house
                raise Later(NAME, error.code, f"no access token: {error.message}") from error
            return self._token

    async def _renew(self, *, force: bool) -> None:
        asked = {
            "grant_type": "client_credential",
            "appid": self._settings.app_id,
            "secret": self._settings.app_secret.get_secret_value(),
            "force_refresh": force,
        }
        # a forced one ends the token that others of this app hold
        granted = await self._post("/cgi-bin/stable_token", body_of(asked), reads=not force)
        with understood(NAME):
            self._token = identity(granted.get("access_token"), "access_token")
            remaining = integer(granted.get("expires_in"), "expires_in")
        self._token_until = time.monotonic() + remaining - _RENEW_BEFORE
