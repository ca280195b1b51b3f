"""One way to make an outward call: httpx, a total time-out, errors in three classes, and nothing sent in shadow mode.

In shadow mode (`settings().shadow`) only reading leaves the process. A caller declares it call by call (`reads=True`);
whatever is not declared is refused before a byte is sent, also what uses the client without `call`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from integrations.errors import Later, PlatformError, Refused, Unclear
from models.settings import settings

#: Seconds from the first byte sent to the last byte read. Shorter than any lease that rests on it.
TOTAL_TIMEOUT = 15.0
#: Where a request carries what its caller declared (`httpx.Request.extensions`).
PLATFORM, READS = "orderloom.platform", "orderloom.reads"


class InShadow(PlatformError):
    """Shadow mode: this call would change something outside, or was not declared as reading. Nothing was sent."""

    def __init__(self, platform: str, what: str) -> None:
        super().__init__(platform, "in_shadow", f"影子模式不向外发送任何东西,没有发出:{what}")


class OutwardClient(httpx.AsyncClient):
    """The one client for outward calls. Every method of httpx ends in `send`, whatever transport or proxy follows."""

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send it. Raises `InShadow` in shadow mode unless the request was declared as reading."""
        if settings().shadow and request.extensions.get(READS) is not True:
            platform = str(request.extensions.get(PLATFORM) or request.url.host)
            raise InShadow(platform, f"{request.method} {request.url.path}")
        return await super().send(request, **options)


def client(**options: Any) -> OutwardClient:
    """A client for outward calls; one per event loop, closed by whoever made it."""
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=32)
    return OutwardClient(timeout=TOTAL_TIMEOUT, limits=limits, follow_redirects=False, **options)


async def call(
    client: httpx.AsyncClient,
    platform: str,
    method: str,
    url: str,
    *,
    content: bytes | None = None,
    headers: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
    timeout: float = TOTAL_TIMEOUT,
    reads: bool = False,
) -> httpx.Response:
    """Send exactly these bytes and return the answer if its status is below 400.

    `reads`: it changes nothing over there and uses up no quota that matters; only such calls are made in shadow mode.

    Raises `Later` when the request never left or the platform said "not now" (connect error, 429, 503),
    `Unclear` when it may have been acted on (time-out, broken connection, other 5xx), `Refused` on other 4xx; and
    `InShadow`.
    """
    declared = {PLATFORM: platform, READS: reads}
    try:
        async with asyncio.timeout(timeout):
            response = await client.request(
                method, url, content=content, headers=headers, params=params, extensions=declared
            )
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise Later(platform, "unreachable", f"{type(error).__name__}: {error}") from error
    except (TimeoutError, httpx.TimeoutException) as error:
        raise Unclear(platform, "timeout", f"no answer within {timeout:g} s") from error
    except httpx.TransportError as error:
        raise Unclear(platform, "broken", f"{type(error).__name__}: {error}") from error
    if response.status_code < 400:
        return response
    text = response.text[:300]
    if response.status_code in (429, 503):
        raise Later(platform, str(response.status_code), text, retry_after(response))
    if response.status_code >= 500:
        raise Unclear(platform, str(response.status_code), text)
    raise Refused(platform, str(response.status_code), text)


def retry_after(response: httpx.Response, default: float = 5.0) -> float:
    """Seconds that the `Retry-After` header asks for, between 0.1 and 600; `default` without a usable one."""
    try:
        return min(max(float(response.headers.get("retry-after", default)), 0.1), 600.0)
    except ValueError:
        return default
