"""One way to ask Shopify: GraphQL over HTTP, with a static token or the client-credentials grant."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from typing import Any
from urllib.parse import urlencode

import httpx

from integrations.channels.payload import answer, integer, mapping, mappings, text, understood
from integrations.channels.shopify_bucket import CostBucket, read_cost
from integrations.errors import Later, Refused, Unclear
from integrations.http import call
from models.settings import ShopifySettings

NAME = "shopify"

#: How long a call waits for room in the cost bucket. Telling has a lease that waiting and calling must fit into.
LONGEST_WAIT_TO_ASK = 30.0
LONGEST_WAIT_TO_TELL = 10.0

_RENEW_BEFORE = 300.0  # seconds before its end that a token is no longer used


def request_body(query: str, operation: str, variables: dict[str, Any]) -> bytes:
    """The bytes of one GraphQL request, the same for the same values."""
    document = {"query": query, "operationName": operation, "variables": variables}
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def is_reading(body: bytes) -> bool:
    """Whether the document of a request body is a query, without a mutation beside it."""
    document = str(json.loads(body).get("query", "")).lstrip()
    return document.startswith(("query", "{")) and re.search(r"\bmutation\b", document) is None


class GraphQL:
    """The shop's GraphQL endpoint; keeps the token, and account of the cost bucket."""

    def __init__(self, settings: ShopifySettings, client: httpx.AsyncClient, timeout: float) -> None:
        """`timeout` is the total one of each call, in seconds."""
        self._settings = settings
        self._client = client
        self._timeout = timeout
        self._base = (settings.base_url or f"https://{settings.shop}.myshopify.com").rstrip("/")
        self._token = settings.access_token.get_secret_value()
        self._token_until = math.inf if self._token else 0.0
        self._token_lock = asyncio.Lock()
        self._bucket = CostBucket()

    async def send(self, body: bytes) -> dict[str, Any]:
        """`data` of the answer to a GraphQL body, sent when the cost bucket is estimated to hold it.

        A token that is refused is renewed once. `Later` also when there is no room in the bucket for too long.
        """
        operation = str(json.loads(body).get("operationName", ""))
        token = await self._current_token()
        longest = LONGEST_WAIT_TO_ASK if is_reading(body) else LONGEST_WAIT_TO_TELL
        async with self._bucket.turn(NAME, operation, longest):
            try:
                return await self._send_as(token, operation, body)
            except Refused as refused:
                if refused.code != "401" or not self._settings.client_id:
                    raise
            token = await self._current_token(refused_token=token)
            return await self._send_as(token, operation, body)

    async def _send_as(self, token: str, operation: str, body: bytes) -> dict[str, Any]:
        headers = {"content-type": "application/json", "x-shopify-access-token": token}
        url = f"{self._base}/admin/api/{self._settings.api_version}/graphql.json"
        reads = is_reading(body)
        response = await call(
            self._client, NAME, "POST", url, content=body, headers=headers, timeout=self._timeout, reads=reads
        )
        result = answer(response, NAME)
        self._bucket.learn(operation, read_cost(result))
        with understood(NAME):
            if result.get("errors"):
                _raise_errors(result)
            return mapping(result.get("data"), "data")

    async def _current_token(self, refused_token: str | None = None) -> str:
        """A token that is good for some minutes more and is not the refused one."""
        async with self._token_lock:
            if self._token != refused_token and time.monotonic() < self._token_until:
                return self._token
            form = {
                "grant_type": "client_credentials",
                "client_id": self._settings.client_id,
                "client_secret": self._settings.client_secret.get_secret_value(),
            }
            url = f"{self._base}/admin/oauth/access_token"
            content = urlencode(form).encode()
            headers = {"content-type": "application/x-www-form-urlencoded"}
            try:
                response = await call(
                    self._client, NAME, "POST", url, content=content, headers=headers, timeout=self._timeout, reads=True
                )
            except Unclear as error:  # what was to be asked with the token has not left the house
                raise Later(NAME, error.code, f"no access token: {error.message}") from error
            granted = answer(response, NAME)
            with understood(NAME):
                self._token = text(granted.get("access_token"), "access_token")
                lifetime = integer(granted.get("expires_in"), "expires_in")
            self._token_until = time.monotonic() + lifetime - _RENEW_BEFORE
            return self._token


def _raise_errors(result: dict[str, Any]) -> None:
    """Top-level GraphQL `errors` as the class they belong to."""
    found = result["errors"]
    errors = mappings(found, "errors") if isinstance(found, list) else [{"message": found}]
    said = "; ".join(text(error.get("message"), "message") for error in errors)[:300]
    codes = [str(mapping(error.get("extensions") or {}, "extensions").get("code", "")) for error in errors]
    if "THROTTLED" in codes:
        raise Later(NAME, "THROTTLED", said, _throttle_seconds(result))
    if "IDEMPOTENCY_CONCURRENT_REQUEST" in codes:
        raise Later(NAME, "IDEMPOTENCY_CONCURRENT_REQUEST", said, retry_after=2.0)
    if "INTERNAL_SERVER_ERROR" in codes or "TIMEOUT" in codes:
        raise Unclear(NAME, codes[0], said)
    raise Refused(NAME, codes[0] or "graphql", said)


def _throttle_seconds(result: dict[str, Any]) -> float:
    """How long the cost bucket needs until this query fits."""
    cost = read_cost(result)
    return 2.0 if cost is None else min(max(0.1, cost.seconds), 60.0)
