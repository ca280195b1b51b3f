"""The public application: webhooks, what customers see of an order and a parcel, and whether we are well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from integrations import http
from integrations.portal import channel_webhooks
from integrations.portal.form_page import FormPage
from integrations.portal.guard import Guard
from integrations.portal.links import Links
from integrations.portal.order_link import OrderLink
from integrations.portal.payment_webhooks import PaymentWebhooks
from integrations.portal.rendering import HERE, answer_errors
from integrations.portal.tracking import Tracking
from integrations.portal.warehouse_webhook import take_stock_check
from integrations.portal.webhooks import MesWebhook
from models.database import in_transaction

HEALTH_SECONDS = 3.0


async def health(request: Request) -> Response:
    """200 when the database answers within 3 s, else 503."""
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            await in_transaction(lambda session: session.connection().execute(text("SELECT 1")).scalar())
    except Exception as error:
        return JSONResponse({"ok": False, "error": type(error).__name__}, 503)
    return JSONResponse({"ok": True})


def make_public() -> ASGIApp:
    """The application for customers and platforms."""
    client = http.client()
    payments, links = PaymentWebhooks(client), Links()
    orders, forms = OrderLink(links), FormPage(links)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    app = Starlette(
        routes=[
            Route("/webhooks/mes", MesWebhook(client).take, methods=["POST"]),
            Route("/webhooks/warehouse", take_stock_check, methods=["POST"]),
            Route("/webhooks/wechat-pay", payments.wechat_pay, methods=["POST"]),
            Route("/webhooks/alipay", payments.alipay, methods=["POST"]),
            Route("/webhooks/shopify", channel_webhooks.shopify, methods=["POST"]),
            Route("/webhooks/wechat-shop", channel_webhooks.wechat_shop, methods=["GET", "POST"]),
            Route("/webhooks/douyin", channel_webhooks.douyin, methods=["POST"]),
            Route("/t/{token}", Tracking(links).show),
            Route("/o/{token}", orders.show),
            Route("/o/{token}/cancel", orders.ask, methods=["GET"]),
            Route("/o/{token}/cancel", orders.cancel, methods=["POST"]),
            Route("/o/{token}/form", forms.show, methods=["GET"]),
            Route("/o/{token}/form", forms.save, methods=["POST"]),
            Route("/healthz", health),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        lifespan=lifespan,
    )
    answer_errors(app, home="")
    return Guard(app)
