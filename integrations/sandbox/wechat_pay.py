"""WeChat Pay v3 as PROTOCOLS.md §6 has it: signed both ways, refunds held to once by `out_refund_no`.

A refund is PROCESSING at first and SUCCESS some seconds later, which an encrypted callback reports until it is taken.
Two refunds of one payment need a minute between them.

Faults by operation. `refund`, `query` and `find_refund` have the generic ones, any code of `CODES` (nothing is done),
`bad_signature`, `unsigned` and `skewed` (done; the answer is signed by another key, not at all, or dated 10 minutes
back). `refund` also has `SYSTEM_ERROR_after` (done all the same), `abnormal` and `closed` (PROCESSING, and then that).
`callback`: see `payment_callbacks`.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from integrations.payments.alipay import BEIJING
from integrations.payments.rsa import is_signed
from integrations.payments.wechat_pay import SCHEME, SKEW, request_message
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.faults import play
from integrations.sandbox.jobs import Handler, Post
from integrations.sandbox.payment_callbacks import announce, tell
from integrations.sandbox.rsa_keys import key_of
from integrations.sandbox.wechat_pay_messages import ANOTHER, OURS, callback_body, signed_headers
from integrations.sandbox.world import Fault, Job, World

PLATFORM = "wechat_pay"
TRADE, REFUND, SEQUENCE = "wechat_pay.trade", "wechat_pay.refund", "wechat_pay.sequence"
MERCHANT = "wechat_pay merchant"
REFUND_SECONDS = 3.0  # sandbox seconds until a refund is paid
BETWEEN_REFUNDS = 60.0  # sandbox seconds between two refunds of one payment
TELL_AGAIN = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)  # sandbox seconds
ENDS = {"abnormal": "ABNORMAL", "closed": "CLOSED"}

CODES = {
    "SIGN_ERROR": (401, "签名错误"),
    "NO_AUTH": (403, "没有退款权限"),
    "NOT_ENOUGH": (403, "商户余额不足"),
    "USER_ACCOUNT_ABNORMAL": (403, "用户账户异常"),
    "RESOURCE_NOT_EXISTS": (404, "订单或退款单不存在"),
    "INVALID_REQUEST": (400, "请求参数符合参数格式，但不符合业务规则"),
    "PARAM_ERROR": (400, "参数错误"),
    "FREQUENCY_LIMITED": (429, "频率限制"),
    "SYSTEM_ERROR": (500, "系统超时，请用原单号重试"),
}

Act = Callable[[], dict[str, Any]]


class No(Exception):
    """A refusal; its text is the code, one of `CODES`."""


def open_trade(world: World, out_trade_no: str, total_fen: int, at: datetime, *, paid: bool = True) -> str:
    """A customer opens a payment, and pays it at `at`; WeChat's number of it. A number known already stays as it is.

    Its callback goes to the shop front that opened it, not to the hub.
    """
    known = world.get(TRADE, out_trade_no)
    if known is None:
        known = {
            "out_trade_no": out_trade_no,
            "transaction_id": f"42000{at.astimezone(BEIJING):%Y%m%d}{_next(world, 'trade'):015d}",
            "total": total_fen,
            "state": "SUCCESS" if paid else "NOTPAY",
            "paid_at": _rfc3339(at) if paid else None,
            "refunded": 0,
            "refunded_at": 0.0,
        }
        world.put(TRADE, out_trade_no, known)
    return str(known["transaction_id"])


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """Payments by `out_trade_no`, refunds by `out_refund_no`."""

    async def query(request: Request) -> Response:
        number = request.path_params["number"]
        return await answered(request, "query", b"", lambda fault: _transaction(world, credentials, number))

    async def refund(request: Request) -> Response:
        body = await request.body()
        return await answered(request, "refund", body, lambda fault: _refund(world, json.loads(body), fault))

    async def find_refund(request: Request) -> Response:
        number = request.path_params["number"]
        return await answered(request, "find_refund", b"", lambda fault: _told(_known(world, REFUND, number)))

    async def answered(
        request: Request, operation: str, body: bytes, act: Callable[[Fault | None], dict[str, Any]]
    ) -> Response:
        if not _is_from_merchant(request, body, credentials):
            return Response(_refusal("SIGN_ERROR"), 401, media_type="application/json")
        fault = world.fault(PLATFORM, operation)
        kind = fault.kind if fault else ""

        def answer() -> Response:
            code = kind.removesuffix("_after")
            try:
                if kind in CODES:
                    raise No(kind)
                with world.transaction():
                    done = act(fault)
                if code in CODES:
                    raise No(code)
            except No as error:
                code = str(error)
            except (ValueError, KeyError, TypeError, AttributeError):
                code = "PARAM_ERROR"
            else:
                return _signed(json.dumps(done, ensure_ascii=False).encode(), 200, credentials, kind)
            if operation == "refund" and not kind.endswith("_after"):
                world.count(PLATFORM, "refund", _number_in(body), took_effect=False)
            return _signed(_refusal(code), CODES[code][0], credentials, kind)

        return await play(request, fault, answer)

    return [
        Route("/v3/pay/transactions/out-trade-no/{number}", query),
        Route("/v3/refund/domestic/refunds", refund, methods=["POST"]),
        Route("/v3/refund/domestic/refunds/{number}", find_refund),
    ]


def jobs(credentials: Credentials, portal_url: str) -> dict[str, Handler]:
    """Refunds that end, and the callbacks about them."""

    async def settle(job: Job, world: World, post: Post) -> None:
        with world.transaction():
            _settle(world, credentials, job.body)

    async def callback(job: Job, world: World, post: Post) -> None:
        async def send(event: dict[str, Any], forged: bool) -> bool:
            body = event["body"].encode()
            headers = signed_headers(credentials, body, int(time.time()), ANOTHER if forged else OURS)
            return 200 <= await post(f"{portal_url}/webhooks/wechat-pay", body, headers) < 300

        await tell(job, world, PLATFORM, TELL_AGAIN, send)

    return {"wechat_pay.settle": settle, "wechat_pay.callback": callback}


def _is_from_merchant(request: Request, body: bytes, credentials: Credentials) -> bool:
    """Whether the request is signed by the merchant's key, just now."""
    scheme, _, parameters = request.headers.get("authorization", "").partition(" ")
    given = dict(re.findall(r'(\w+)="([^"]*)"', parameters))
    ours = {"mchid": credentials.wechat_pay_mchid, "serial_no": credentials.wechat_pay_serial}
    timestamp, nonce = given.get("timestamp", ""), given.get("nonce_str", "")
    if scheme != SCHEME or any(given.get(name) != value for name, value in ours.items()):
        return False
    if not re.fullmatch("[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > SKEW:
        return False
    query = f"?{request.url.query}" if request.url.query else ""
    target = request.scope["raw_path"].decode() + query
    message = request_message(request.method, target, timestamp, nonce, body)
    return is_signed(key_of(MERCHANT).public_key(), message, given.get("signature", ""))


def _signed(body: bytes, status: int, credentials: Credentials, kind: str) -> Response:
    """The answer, signed; by the faults, wrongly."""
    if kind == "unsigned":
        return Response(body, status, media_type="application/json")
    at = int(time.time()) - (600 if kind == "skewed" else 0)
    return Response(body, status, signed_headers(credentials, body, at, ANOTHER if kind == "bad_signature" else OURS))


def _refusal(code: str) -> bytes:
    return json.dumps({"code": code, "message": CODES[code][1]}, ensure_ascii=False).encode()


def _number_in(body: bytes) -> str:
    try:
        return str(json.loads(body)["out_refund_no"])
    except (ValueError, KeyError, TypeError):
        return ""


def _known(world: World, kind: str, number: str) -> dict[str, Any]:
    found = world.get(kind, number)
    if found is None:
        raise No("RESOURCE_NOT_EXISTS")
    return found


def _transaction(world: World, credentials: Credentials, number: str) -> dict[str, Any]:
    trade = _known(world, TRADE, number)
    told = {
        "mchid": credentials.wechat_pay_mchid,
        "out_trade_no": trade["out_trade_no"],
        "trade_type": "JSAPI",
        "trade_state": trade["state"],
        "trade_state_desc": trade["state"],
        "amount": {"total": trade["total"], "currency": "CNY"},
    }
    if not trade["paid_at"]:
        return told
    told["amount"] |= {"payer_total": trade["total"], "payer_currency": "CNY"}
    return told | {"transaction_id": trade["transaction_id"], "success_time": trade["paid_at"]}


def _refund(world: World, asked: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    """Take a refund; the same number again answers how it stands, with other parameters it is refused."""
    number, amount = str(asked["out_refund_no"]), int(asked["amount"]["refund"])
    known = world.get(REFUND, number)
    if known:
        if known["asked"] != asked:
            raise No("INVALID_REQUEST")
        world.count(PLATFORM, "refund", number, took_effect=False)
        return _told(known)
    trade, now = _known(world, TRADE, str(asked["out_trade_no"])), world.now()
    wrong_sum = amount <= 0 or asked["amount"]["total"] != trade["total"] or trade["refunded"] + amount > trade["total"]
    if wrong_sum or trade["state"] not in ("SUCCESS", "REFUND") or asked["amount"]["currency"] != "CNY":
        raise No("INVALID_REQUEST")
    if now.timestamp() - trade["refunded_at"] < BETWEEN_REFUNDS / world.speed:
        raise No("FREQUENCY_LIMITED")
    trade |= {"state": "REFUND", "refunded": trade["refunded"] + amount, "refunded_at": now.timestamp()}
    world.put(TRADE, trade["out_trade_no"], trade)
    refund = {
        "asked": asked,
        "refund_id": f"50300{now:%Y%m%d}{_next(world, 'refund'):015d}",
        "transaction_id": trade["transaction_id"],
        "status": "PROCESSING",
        "created_at": _rfc3339(now),
    }
    world.put(REFUND, number, refund)
    world.count(PLATFORM, "refund", number, took_effect=True)
    ends = ENDS.get(fault.kind if fault else "", "SUCCESS")
    world.later(REFUND_SECONDS, "wechat_pay.settle", {"number": number, "status": ends})
    return _told(refund)


def _told(refund: dict[str, Any]) -> dict[str, Any]:
    """A refund as WeChat tells it."""
    asked = refund["asked"]
    amount = asked["amount"]
    paid = {"success_time": refund["ended_at"]} if refund["status"] == "SUCCESS" else {}
    return {
        "refund_id": refund["refund_id"],
        "out_refund_no": asked["out_refund_no"],
        "transaction_id": refund["transaction_id"],
        "out_trade_no": asked["out_trade_no"],
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "create_time": refund["created_at"],
        "status": refund["status"],
        "amount": amount | {"payer_total": amount["total"], "payer_refund": amount["refund"]},
    } | paid


def _settle(world: World, credentials: Credentials, ending: dict[str, Any]) -> None:
    """A refund ends, and its callback is due. Money that could not be paid is the merchant's again when closed."""
    refund = world.get(REFUND, ending["number"])
    if refund is None or refund["status"] != "PROCESSING":
        return
    at = _rfc3339(world.now())
    refund |= {"status": ending["status"], "ended_at": at}
    world.put(REFUND, ending["number"], refund)
    asked = refund["asked"]
    if ending["status"] == "CLOSED":
        trade = _known(world, TRADE, asked["out_trade_no"])
        world.put(TRADE, asked["out_trade_no"], trade | {"refunded": trade["refunded"] - asked["amount"]["refund"]})
    told = _told(refund) | {"mchid": credentials.wechat_pay_mchid, "refund_status": refund["status"]}
    event_id = str(uuid.uuid4())
    body = callback_body(credentials, event_id, f"REFUND.{refund['status']}", at, told)
    announce(world, "wechat_pay.callback", {"id": event_id, "body": body.decode()})


def _next(world: World, name: str) -> int:
    count = int((world.get(SEQUENCE, name) or {"last": 0})["last"]) + 1
    world.put(SEQUENCE, name, {"last": count})
    return count


def _rfc3339(at: datetime) -> str:
    return at.astimezone(BEIJING).isoformat(timespec="seconds")
