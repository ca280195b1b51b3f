"""One way to ask Douyin's shop platform 抖店: sign v2, tokens of a self-built app, errors in three classes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any

import httpx

from integrations.channels.payload import answer, identity, integer, mapping, text, understood
from integrations.errors import Later, Refused, Unclear
from integrations.http import call
from models.settings import DouyinSettings

NAME = "douyin"

SUCCESS = 10000
_BUSY = {20000, 20001}  # the service failed over there: whether before or after acting is not said
_RATE_LIMITED = 60000
#: Methods that change nothing and cost nothing; decryption counts against a quota, and is none of them.
READS = frozenset(
    {
        "token.create",
        "token.refresh",
        "order.searchList",
        "order.orderDetail",
        "sku.detail",
        "afterSale.List",
        "afterSale.Detail",
    }
)
_RENEW_BEFORE = 300.0  # seconds before its end that a token is no longer used


def param_json(params: dict[str, Any]) -> str:
    """The parameters as they are signed and sent: keys sorted at every depth, compact, nothing escaped."""
    return json.dumps(params, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def sign(app_key: str, secret: str, method: str, params: str, timestamp: str) -> str:
    """Sign v2 (guide-docs/10/23): hex HMAC-SHA256; neither the token nor `sign_method` is part of it."""
    signed = f"app_key{app_key}method{method}param_json{params}timestamp{timestamp}v2"
    return hmac.new(secret.encode(), f"{secret}{signed}{secret}".encode(), hashlib.sha256).hexdigest()


class OpenApi:
    """The platform's open API for one shop; keeps the tokens."""

    def __init__(self, settings: DouyinSettings, client: httpx.AsyncClient, timeout: float) -> None:
        """`timeout` is the total one of each call, in seconds."""
        self._settings = settings
        self._client = client
        self._timeout = timeout
        self._base = settings.base_url.rstrip("/")
        self._access = ""
        self._access_until = 0.0
        self._refresh = ""
        self._lock = asyncio.Lock()

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """`data` of the answer to `method` ("order.searchList"); a token that is refused is renewed once."""
        token = await self._token()
        try:
            return await self._call(method, params, token)
        except Refused as refused:
            if not refused.code.startswith("isv.access-token"):
                raise
        return await self._call(method, params, await self._token(refused=token))

    async def _call(self, method: str, params: dict[str, Any], token: str | None) -> dict[str, Any]:
        body = param_json(params)
        timestamp = str(int(time.time()))
        secret = self._settings.app_secret.get_secret_value()
        query = {
            "app_key": self._settings.app_key,
            "method": method,
            "timestamp": timestamp,
            "v": "2",
            "sign_method": "hmac-sha256",
            "sign": sign(self._settings.app_key, secret, method, body, timestamp),
        }
        if token is not None:
            query["access_token"] = token
        response = await call(
            self._client,
            NAME,
            "POST",
            f"{self._base}/{method.replace('.', '/')}",
            content=body.encode(),
            headers={"content-type": "application/json", "x-open-no-old-err-code": "1"},
            params=query,
            timeout=self._timeout,
            reads=method in READS,
        )
        result = answer(response, NAME)
        with understood(NAME):
            code = integer(result.get("code"), "code")
            if code == SUCCESS:
                return mapping(result.get("data") or {}, "data")
            said = f"{text(result.get('msg'), 'msg')} {text(result.get('sub_msg'), 'sub_msg')}".strip()[:300]
            why = text(result.get("sub_code"), "sub_code") or str(code)
        if code == _RATE_LIMITED:
            raise Later(NAME, why, said, retry_after=1.0)
        if code in _BUSY:
            raise Unclear(NAME, why, said)
        raise Refused(NAME, why, said)

    async def _token(self, refused: str | None = None) -> str:
        """An access token that is good for some minutes more and is not the refused one."""
        async with self._lock:
            if self._access != refused and time.monotonic() < self._access_until:
                return self._access
            try:
                granted = await self._granted()
            except Unclear as error:  # what was to be asked with the token has not left the house
                raise Later(NAME, error.code, f"no access token: {error.message}") from error
            with understood(NAME):
                self._access = identity(granted.get("access_token"), "access_token")
                self._refresh = text(granted.get("refresh_token"), "refresh_token")
                lifetime = integer(granted.get("expires_in"), "expires_in")
            self._access_until = time.monotonic() + lifetime - _RENEW_BEFORE
            return self._access

    async def _granted(self) -> dict[str, Any]:
        """A new token by the refresh token; by the shop's authorisation when there is none that works."""
        if self._refresh:
            try:
                params = {"grant_type": "refresh_token", "refresh_token": self._refresh}
                return await self._call("token.refresh", params, None)
            except Refused:
                self._refresh = ""
        params = {"code": "", "grant_type": "authorization_self", "shop_id": self._settings.shop}
        return await self._call("token.create", params, None)
