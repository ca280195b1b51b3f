"""Around an application: security headers on every answer, and only the host names it is known by."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers send our own forms as from "null"
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}
#: Where files lie that are the same for everybody.
STATIC = "/static/"


class Guard:
    """An ASGI application around another. `hosts` empty: any host name (customers come by the public one)."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                kept = scope["path"].startswith(STATIC) and message["status"] in (200, 304)
                headers["Cache-Control"] = "public, max-age=3600" if kept else "no-store"
            await send(message)

        if self._hosts and _host_name(Headers(scope=scope).get("host", "")) not in self._hosts:
            # a page of another name that resolves to this machine (DNS rebinding) stops here
            refusal = PlainTextResponse("这个地址不提供服务:请用 http://127.0.0.1 加端口打开。", 421)
            await refusal(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)


def _host_name(host: str) -> str:
    """The name in a Host header, without its port: `[::1]:8081` → `::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
