"""`POST /webhooks/wechat-pay` and `/webhooks/alipay`: what the keepers of money report of their own accord.

Verified on the raw body before anything is looked at. Events are not remembered by their ids: what a refund's state
is decides what news changes, so the same event a second time, or an older one, finds nothing to do. News about what
is not ours is answered like any other (the platform would send it for days) and changes nothing.
"""

from __future__ import annotations

import logging

import httpx
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from integrations.errors import Forged, PlatformError
from integrations.payments import RefundState
from integrations.payments.alipay import Alipay, news_in
from integrations.payments.news import PaymentNews
from integrations.payments.wechat_pay import WeChatPay
from integrations.portal.bodies import read_body
from models.database import in_transaction, utcnow
from models.payment_news import hear_of_payment, hear_of_refund
from models.quality import plain
from models.refund import RefundStep
from models.settings import settings

BODY_BYTES = 256 * 1024
#: What each report means for the refund, and what a person reads where it does not simply arrive.
MEANS = {
    RefundState.PROCESSING: (RefundStep.PROCESSING, ""),
    RefundState.PAID: (RefundStep.PAID, ""),
    RefundState.ABNORMAL: (RefundStep.STUCK, "平台通知退款异常:客户的账户或银行卡收不了这笔钱"),
    RefundState.CLOSED: (RefundStep.STUCK, "平台通知退款已关闭:钱没有退出去"),
}
log = logging.getLogger(__name__)


class PaymentWebhooks:
    """Both keepers' callbacks. `client` is only what the keepers are made with; nothing is called here."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def wechat_pay(self, request: Request) -> Response:
        """204 heard, 401 forged or stale, 400 unreadable, 503 not connected; each no with `{"code": "FAIL", …}`."""
        body, own = await read_body(request, BODY_BYTES), settings().wechat_pay
        if not (own.mchid and own.platform_keys):
            return _fail(503, "WeChat Pay is not connected here")
        try:
            news = WeChatPay(own, self._client).verify_callback(request.headers, body, utcnow())
        except PlatformError as error:
            log.warning("a callback is not believed: %s", error)
            return _fail(401 if isinstance(error, Forged) else 400, error.message[:300])
        await hear(news)
        return Response(status_code=204)

    async def alipay(self, request: Request) -> Response:
        """200 with exactly `success` once it is heard; 401 forged, 400 unreadable, 503 not connected, with `fail`."""
        body, own = await read_body(request, BODY_BYTES), settings().alipay
        if not (own.app_id and own.alipay_public_key):
            return PlainTextResponse("fail", 503)
        try:
            news = news_in(Alipay(own, self._client).verify_notify(body))
        except PlatformError as error:
            log.warning("a notify is not believed: %s", error)
            return PlainTextResponse("fail", 401 if isinstance(error, Forged) else 400)
        if news is not None:
            await hear(news)
        return PlainTextResponse("success")


async def hear(news: PaymentNews) -> str:
    """Take verified news into the book, in one transaction: what was made of it. Twice: nothing happens twice."""
    if not (plain(news.payment_ref) and plain(news.refund_no)):
        return "unknown"

    def work(session: Session) -> str:
        now = utcnow()
        if news.state is None:
            return "asked" if hear_of_payment(session, news.keeper, news.payment_ref, now) else "unknown"
        step, problem = MEANS[news.state]
        return hear_of_refund(
            session, news.keeper, news.payment_ref, news.refund_no, step, news.refunded_fen, problem, now
        )

    heard = await in_transaction(work)
    if heard == "unknown" and news.kind == "refund":
        log.warning("%s reports the refund %r, which is none of ours", news.keeper, news.refund_no[:80])
    return heard


def _fail(status: int, message: str) -> Response:
    return JSONResponse({"code": "FAIL", "message": message}, status, {"Retry-After": "30"} if status == 503 else None)
