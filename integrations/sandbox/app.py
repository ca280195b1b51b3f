"""All platforms in one small web application on loopback.

Each platform is a module here with `routes(world, credentials) -> list[BaseRoute]`, mounted under its prefix; where
work is delayed, a module also has `jobs(credentials, portal_url) -> dict[str, Handler]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount

from integrations.sandbox import (
    alipay,
    aliyun_sms,
    control,
    douyin,
    douyin_after_sales,
    douyin_pushes,
    jd,
    mes,
    pinduoduo,
    replay,
    sf_express,
    shopify,
    shopify_refunds,
    taobao,
    warehouse,
    wechat_after_sales,
    wechat_pay,
    wechat_shop,
    wechat_shop_pushes,
    wecom,
)
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.jobs import Handler, keep_doing
from integrations.sandbox.world import World

#: Prefix of each part's paths.
PARTS = {
    "shopify": shopify,
    "wechat": wechat_shop,
    "douyin": douyin,
    "taobao": taobao,
    "jd": jd,
    "pinduoduo": pinduoduo,
    "sf": sf_express,
    "mes": mes,
    "aliyun": aliyun_sms,
    "wecom": wecom,
    "alipay": alipay,
    "wechat_pay": wechat_pay,
    "control": control,
}


def make_app(world: World, credentials: Credentials, portal_url: str) -> Starlette:
    """The sandbox over this world. Callbacks go to `{portal_url}/webhooks/…`. The world outlives the app."""
    mounts = [Mount(f"/{prefix}", routes=part.routes(world, credentials)) for prefix, part in PARTS.items()]
    handlers: dict[str, Handler] = {}
    for part in (mes, replay, alipay, wechat_pay, shopify_refunds, wechat_after_sales, douyin_after_sales, warehouse):
        handlers |= part.jobs(credentials, portal_url)
    for pushes in (wechat_shop_pushes, douyin_pushes):
        handlers |= pushes.jobs(credentials, portal_url)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        doing = asyncio.create_task(keep_doing(world, handlers))
        try:
            yield
        finally:
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)

    return Starlette(routes=mounts, lifespan=lifespan)
