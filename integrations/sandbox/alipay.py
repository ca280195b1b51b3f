"""Alipay as PROTOCOLS.md §5 has it: signed forms in, signed JSON out, refunds held to once by `out_request_no`.

A refund reaches the customer at once and is reported by an async notify, told until the answer is `success`.

Faults by operation. `refund`, `query` and `find_refund` have the generic ones, `bad_signature` and `unsigned` (done,
and answered so), `20000`, `20001`, `40006` and `SYSTEM_ERROR` (nothing is done). `refund` also has
`SYSTEM_ERROR_after` (done all the same), `NOT_ENOUGH` (the merchant's balance) and `fund_change_n` (taken, answered
with `fund_change` N, and found by asking only after 10 sandbox seconds). `callback`: see `payment_callbacks`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from integrations.payments.alipay import BEIJING, signed_text
from integrations.payments.rsa import is_signed, sign
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.faults import play
from integrations.sandbox.jobs import Handler, Post
from integrations.sandbox.payment_callbacks import announce, tell
from integrations.sandbox.rsa_keys import key_of
from integrations.sandbox.world import Fault, Job, World

PLATFORM = "alipay"
TRADE, SEQUENCE = "alipay.trade", "alipay.sequence"
OURS, MERCHANT, ANOTHER = "alipay platform", "alipay merchant", "wechat_pay platform"
CLOCK_SKEW = 900.0  # seconds
SLOW_REFUND = 10.0  # sandbox seconds that a `fund_change_n` refund takes
TELL_AGAIN = (240.0, 600.0, 600.0, 3600.0, 7200.0, 21600.0, 54000.0)  # sandbox seconds

#: What each fault makes the answer: code, message, sub code.
ANSWERS = {
    "20000": ("20000", "Service Currently Unavailable", "isp.unknow-error"),
    "20001": ("20001", "Insufficient Authorization Permissions", "aop.invalid-app-auth-token"),
    "40006": ("40006", "Insufficient Permissions", "isv.insufficient-isv-permissions"),
    "SYSTEM_ERROR": ("40004", "Business Failed", "ACQ.SYSTEM_ERROR"),
    "SYSTEM_ERROR_after": ("40004", "Business Failed", "ACQ.SYSTEM_ERROR"),
    "NOT_ENOUGH": ("40004", "Business Failed", "ACQ.SELLER_BALANCE_NOT_ENOUGH"),
}

Answer = dict[str, Any]


class No(Exception):
    """A refusal: code, message, sub code."""


def open_trade(world: World, out_trade_no: str, total_fen: int, at: datetime, *, paid: bool = True) -> str:
    """A customer opens a payment, and pays it at `at`; Alipay's number of it. A number known already stays as it is.

    Its notify goes to the shop front that opened it, not to the hub.
    """
    known = world.get(TRADE, out_trade_no)
    if known is None:
        count = (world.get(SEQUENCE, "trade") or {"last": 0})["last"] + 1
        world.put(SEQUENCE, "trade", {"last": count})
        known = {
            "out_trade_no": out_trade_no,
            "trade_no": f"{at.astimezone(BEIJING):%Y%m%d}22001{count:015d}",
            "total_fen": total_fen,
            "status": "TRADE_SUCCESS" if paid else "WAIT_BUYER_PAY",
            "opened_at": at.timestamp(),
            "paid_at": at.timestamp() if paid else None,
            "refunds": {},
        }
        world.put(TRADE, out_trade_no, known)
    return str(known["trade_no"])


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """`POST /gateway.do` for every method."""

    async def gateway(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        refused = _gateway_refusal(form, credentials)
        if refused:
            return _signed("error_response", _error(*refused), None)
        operation, act = METHODS[form["method"]]
        node = form["method"].replace(".", "_") + "_response"
        fault = world.fault(PLATFORM, operation)
        kind = fault.kind if fault else ""

        def answer() -> Response:
            signer = {"bad_signature": ANOTHER, "unsigned": None}.get(kind, OURS)
            try:
                asked = json.loads(form["biz_content"])
                if kind in ANSWERS and not kind.endswith("_after"):
                    raise No(*ANSWERS[kind])
                with world.transaction():
                    done = act(world, credentials, asked, fault)
                return _signed(node, _error(*ANSWERS[kind]) if kind in ANSWERS else done, signer)
            except No as error:
                refusal = _error(*error.args)
            except (ValueError, KeyError, TypeError, AttributeError):
                refusal = _error("40002", "Invalid Arguments", "isv.invalid-parameter")
            if operation == "refund":
                world.count(PLATFORM, "refund", _number_in(form["biz_content"]), took_effect=False)
            return _signed(node, refusal, signer)

        return await play(request, fault, answer)

    return [Route("/gateway.do", gateway, methods=["POST"])]


def jobs(credentials: Credentials, portal_url: str) -> dict[str, Handler]:
    """The notifies about refunds."""

    async def notify(job: Job, world: World, post: Post) -> None:
        await tell(job, world, PLATFORM, TELL_AGAIN, send)

    async def send(event: dict[str, Any], forged: bool) -> bool:
        body = signed_notify(event["fields"], ANOTHER if forged else OURS)
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        # the status is not enough here: only the text `success` ends a notify
        async with httpx.AsyncClient(timeout=15.0, trust_env=False) as client:
            try:
                response = await client.post(f"{portal_url}/webhooks/alipay", content=body, headers=headers)
            except httpx.HTTPError:
                return False
        return response.status_code == 200 and response.text == "success"

    return {"alipay.notify": notify}


def signed_notify(fields: dict[str, str], signer: str = OURS) -> bytes:
    """The form of a notify: signed over everything but `sign` and `sign_type`."""
    signature = sign(key_of(signer), signed_text(fields))
    return urlencode(fields | {"sign_type": "RSA2", "sign": signature}).encode()


def _gateway_refusal(form: dict[str, str], credentials: Credentials) -> tuple[str, str, str] | None:
    """What the gateway finds wrong before it looks at the business, if anything."""
    if form.get("app_id") != credentials.alipay_app_id:
        return "40002", "Invalid Arguments", "isv.invalid-app-id"
    signed = {name: value for name, value in form.items() if value and name != "sign"}
    if not is_signed(key_of(MERCHANT).public_key(), signed_text(signed), form.get("sign", "")):
        return "40002", "Invalid Arguments", "isv.invalid-signature"
    try:
        at = datetime.strptime(form.get("timestamp", ""), "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
    except ValueError:
        return "40002", "Invalid Arguments", "isv.invalid-timestamp"
    if abs((datetime.now(UTC) - at).total_seconds()) > CLOCK_SKEW:
        return "40002", "Invalid Arguments", "isv.invalid-timestamp"
    if form.get("method") not in METHODS:
        return "40002", "Invalid Arguments", "isv.invalid-method"
    return None


def _error(code: str, message: str, sub_code: str) -> Answer:
    return {"code": code, "msg": message, "sub_code": sub_code, "sub_msg": "故障演练或业务拒绝"}


def _business(sub_code: str) -> No:
    return No("40004", "Business Failed", sub_code)


def _number_in(biz_content: str) -> str:
    try:
        return str(json.loads(biz_content)["out_request_no"])
    except (ValueError, KeyError, TypeError):
        return ""


def _signed(node: str, answer: Answer, signer: str | None) -> Response:
    """An answer whose node is signed as it stands in the body, by this key or not at all."""
    raw = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
    signature = f',"sign":"{sign(key_of(signer), raw.encode())}"' if signer else ""
    return Response(f'{{"{node}":{raw}{signature}}}', media_type="application/json;charset=utf-8")


def _trade(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    trade = world.get(TRADE, asked["out_trade_no"])
    if trade is None:
        raise _business("ACQ.TRADE_NOT_EXIST")
    return trade


def _ok(trade: dict[str, Any], **told: Any) -> Answer:
    named = {"code": "10000", "msg": "Success", "out_trade_no": trade["out_trade_no"], "trade_no": trade["trade_no"]}
    return named | told


def _query(world: World, credentials: Credentials, asked: dict[str, Any], fault: Fault | None) -> Answer:
    trade = _trade(world, asked)
    answer = _ok(trade, trade_status=trade["status"], total_amount=_yuan(trade["total_fen"]))
    return answer | ({"send_pay_date": _beijing(trade["paid_at"])} if trade["paid_at"] else {})


def _refund(world: World, credentials: Credentials, asked: dict[str, Any], fault: Fault | None) -> Answer:
    """Pay back; the same `out_request_no` again answers that nothing more was moved."""
    number, amount, trade = str(asked["out_request_no"]), _fen(asked["refund_amount"]), _trade(world, asked)
    refunds: dict[str, Any] = trade["refunds"]
    together = sum(refund["fen"] for refund in refunds.values())
    known = refunds.get(number)
    if known and known["fen"] != amount:
        raise _business("ACQ.DISCORDANT_REPEAT_REQUEST")
    world.count(PLATFORM, "refund", number, took_effect=not known)
    if known:
        return _ok(trade, fund_change="N", refund_fee=_yuan(together))
    if trade["status"] == "TRADE_FINISHED":
        raise _business("ACQ.TRADE_HAS_FINISHED")
    if together + amount > trade["total_fen"]:
        raise _business("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL")
    if trade["status"] != "TRADE_SUCCESS":
        raise _business("ACQ.TRADE_STATUS_ERROR")
    together, now = together + amount, world.now().timestamp()
    slow = fault is not None and fault.kind == "fund_change_n"
    refunds[number] = {"fen": amount, "seen_at": now + SLOW_REFUND / world.speed if slow else now}
    trade["status"] = "TRADE_CLOSED" if together == trade["total_fen"] else "TRADE_SUCCESS"
    world.put(TRADE, trade["out_trade_no"], trade)
    announce(world, "alipay.notify", _notify(credentials, trade, number, together, now))
    return _ok(trade, fund_change="N" if slow else "Y", refund_fee=_yuan(together))


def _find_refund(world: World, credentials: Credentials, asked: dict[str, Any], fault: Fault | None) -> Answer:
    """The refund, or a success that says nothing of one."""
    trade = _trade(world, asked)
    refund = trade["refunds"].get(asked["out_request_no"])
    if refund is None or refund["seen_at"] > world.now().timestamp():
        return {"code": "10000", "msg": "Success"}
    return _ok(
        trade,
        out_request_no=asked["out_request_no"],
        total_amount=_yuan(trade["total_fen"]),
        refund_amount=_yuan(refund["fen"]),
        refund_status="REFUND_SUCCESS",
    )


METHODS: dict[str, tuple[str, Callable[[World, Credentials, dict[str, Any], Fault | None], Answer]]] = {
    "alipay.trade.query": ("query", _query),
    "alipay.trade.refund": ("refund", _refund),
    "alipay.trade.fastpay.refund.query": ("find_refund", _find_refund),
}


def _notify(
    credentials: Credentials, trade: dict[str, Any], number: str, refunded_fen: int, at: float
) -> dict[str, Any]:
    """The notify about a refund. `refund_fee` is the sum of all refunds of the trade."""
    notify_id = uuid.uuid4().hex
    fields = {
        "notify_time": _beijing(at),
        "notify_type": "trade_status_sync",
        "notify_id": notify_id,
        "app_id": credentials.alipay_app_id,
        "charset": "utf-8",
        "version": "1.0",
        "trade_no": trade["trade_no"],
        "out_trade_no": trade["out_trade_no"],
        "out_biz_no": number,
        "trade_status": trade["status"],
        "total_amount": _yuan(trade["total_fen"]),
        "refund_fee": _yuan(refunded_fen),
        "gmt_create": _beijing(trade["opened_at"]),
        "gmt_payment": _beijing(trade["paid_at"]),
        "gmt_refund": _beijing(at) + ".000",
    }
    return {"id": notify_id, "fields": fields}


def _fen(amount: str) -> int:
    yuan, _, decimals = str(amount).partition(".")
    fen = int(yuan) * 100 + int(f"{decimals:0<2}")
    if len(decimals) > 2 or fen <= 0:
        raise ValueError(amount)
    return fen


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _beijing(at: float) -> str:
    return f"{datetime.fromtimestamp(at, BEIJING):%Y-%m-%d %H:%M:%S}"
