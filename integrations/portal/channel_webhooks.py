"""`POST /webhooks/shopify`, `/webhooks/wechat-shop`, `/webhooks/douyin`: what the channels push about orders.

Verified on the raw body before anything is looked at, kept before it is answered, and heard afterwards by fetching
the order again (models/hint.py): whoever repeats, delays, shuffles or replays a delivery changes nothing by it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from integrations.channels import Pushed, douyin_push, shopify_push, wechat_push
from integrations.errors import Forged, PlatformError
from integrations.portal.bodies import read_body
from models import hint
from models.database import in_transaction, utcnow
from models.quality import plain
from models.settings import settings

#: The largest body that is taken: an order of 500 lines is well below it.
BODY_BYTES = 1024 * 1024
LONGEST_ID = 200
log = logging.getLogger(__name__)


async def shopify(request: Request) -> Response:
    """200 kept, 401 forged, 400 unreadable, 503 not connected."""
    body, own = await read_body(request, BODY_BYTES), settings().shopify
    if not (own.shop and own.client_secret.get_secret_value()):
        return _not_connected()
    return await _take("shopify", own.shop, body, lambda: shopify_push.read_push(own, request.headers, body))


async def wechat_shop(request: Request) -> Response:
    """GET: the echo that proves that this address is ours. POST: `success` once it is kept."""
    own = settings().wechat_shop
    if not (own.app_id and own.push_token.get_secret_value() and own.push_aes_key.get_secret_value()):
        return _not_connected()
    if request.method == "GET":
        try:
            return PlainTextResponse(wechat_push.echo(own, request.query_params))
        except PlatformError as error:
            return _not_believed("wechat_shop", error)
        except ValueError:
            return _not_connected()
    body = await read_body(request, BODY_BYTES)
    kept = await _take(
        "wechat_shop", own.shop, body, lambda: wechat_push.read_push(own, request.query_params, body, utcnow())
    )
    return PlainTextResponse("success") if kept.status_code == 200 else kept


async def douyin(request: Request) -> Response:
    """`{"code": 0, "msg": "success"}` once it is kept."""
    body, own = await read_body(request, BODY_BYTES), settings().douyin
    if not (own.app_key and own.app_secret.get_secret_value()):
        return _not_connected()
    kept = await _take("douyin", own.shop, body, lambda: douyin_push.read_push(own, request.headers, body))
    return JSONResponse({"code": 0, "msg": "success"}) if kept.status_code == 200 else kept


async def _take(channel: str, shop: str, body: bytes, read: Callable[[], Sequence[Pushed]]) -> Response:
    """Verify, keep, and answer 200; 401 forged, 400 unreadable."""
    try:
        pushed = read()
    except PlatformError as error:
        return _not_believed(channel, error)
    except ValueError:  # a key of the wrong shape in our own settings
        return _not_connected()
    except RecursionError:
        return JSONResponse({"ok": False, "error": "nested too deeply"}, 400)
    if not all(_can_be_kept(push) for push in pushed):
        return JSONResponse({"ok": False, "error": "an id that is too long or holds control characters"}, 400)

    def work(session: Session) -> int:
        return hint.keep(session, channel, shop, pushed, body, utcnow())

    return JSONResponse({"ok": True, "kept": await in_transaction(work)})


def _can_be_kept(push: Pushed) -> bool:
    texts = (push.delivery_id, push.topic, push.channel_order_id, push.event_id)
    return bool(push.delivery_id) and all(len(text) <= LONGEST_ID and plain(text) for text in texts)


def _not_believed(channel: str, error: PlatformError) -> Response:
    log.warning("a push of %s is not believed: %s %s", channel, error.code, error.message[:200])
    return JSONResponse({"ok": False, "error": error.message[:300]}, 401 if isinstance(error, Forged) else 400)


def _not_connected() -> Response:
    return JSONResponse({"ok": False, "error": "this channel is not set up here"}, 503, {"Retry-After": "300"})
