"""All platforms in one small web application on loopback.

Each platform is a module here with `routes(world, credentials) -> list[BaseRoute]`, mounted under its prefix, and,
where it has delayed work, `jobs(credentials, portal_url) -> dict[str, Handler]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

from integrations.sandbox import control
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.jobs import Handler, keep_doing
from integrations.sandbox.world import World

#: Prefix of each platform's paths, and the module that plays it.
PLATFORMS = {
    "shopify": "shopify",
    "wechat": "wechat_shop",
    "douyin": "douyin",
    "sf": "sf_express",
    "mes": "mes",
    "aliyun": "aliyun_sms",
    "wecom": "wecom",
}


def make_app(world: World, credentials: Credentials, portal_url: str) -> Starlette:
    """The sandbox over this world. Callbacks go to `{portal_url}/webhooks/…`. The world outlives the app."""
    mounts: list[BaseRoute] = [Mount("/control", routes=control.routes(world, credentials))]
    handlers: dict[str, Handler] = {}
    for prefix, name in {**PLATFORMS, "": "replay"}.items():
        if find_spec(f"integrations.sandbox.{name}") is None:
            continue
        module = import_module(f"integrations.sandbox.{name}")
        if prefix:
            mounts.append(Mount(f"/{prefix}", routes=module.routes(world, credentials)))
        if hasattr(module, "jobs"):
            handlers.update(module.jobs(credentials, portal_url))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        doing = asyncio.create_task(keep_doing(world, handlers))
        try:
            yield
        finally:
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)

    return Starlette(routes=mounts, lifespan=lifespan)
