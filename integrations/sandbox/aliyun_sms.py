"""Aliyun SMS as PROTOCOLS.md §10 has it: ACS3-signed calls, and no protection against sending twice.

Every accepted SendSms is one more message, journalled by its OutId. A message is delivered some seconds later; one
to a number that begins with 199999 is not in service and fails. 50 messages a day reach one number.

Faults of `SendSms` and `QuerySendDetails`: the generic ones, and any code as the kind: those with `isv.` or `isp.`
are answered with HTTP 200, others (`Throttling.User` …) by the gateway with HTTP 400. Nothing is sent then.
"""

from __future__ import annotations

import hmac
import json
import re
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from integrations.messaging.aliyun_sms import BEIJING, VERSION, authorization, canonical_query
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.faults import play
from integrations.sandbox.world import World

PLATFORM = "aliyun"
SENT_BY_TEMPLATE = "sms_sent_by_template"
DELIVERED_AFTER = 3.0  # sandbox seconds
A_DAY = 50  # messages to one number
CLOCK_SKEW = 900.0  # seconds
NOT_IN_SERVICE = "199999"
PHONE = re.compile(r"(\+?86)?1[3-9]\d{9}")
CODE = re.compile(r"(isv|isp)\.|Throttling|ServiceUnavailable|InternalError")


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """`POST /` with the action in a header."""
    nonces: dict[str, None] = {}

    async def action(request: Request) -> Response:
        body = await request.body()
        parameters = dict(parse_qsl(request.url.query, keep_blank_values=True))
        refused = _refusal(request.headers, parameters, body, credentials)
        if refused:
            return _gateway(*refused)
        nonce = request.headers["x-acs-signature-nonce"]
        if nonce in nonces:
            return _gateway("SignatureNonceUsed", "Specified signature nonce was used already.", 400)
        nonces[nonce] = None
        if len(nonces) > 10_000:
            del nonces[next(iter(nonces))]
        operation = request.headers["x-acs-action"]
        if operation not in ACTIONS or request.headers.get("x-acs-version") != VERSION:
            return _gateway("InvalidAction.NotFound", "Specified api is not found.", 404)
        fault = world.fault(PLATFORM, operation)
        if fault and CODE.match(fault.kind):
            in_band = fault.kind.startswith(("isv.", "isp."))
            return _answer(fault.kind, "sandbox fault") if in_band else _gateway(fault.kind, "sandbox fault", 400)

        def act() -> Response:
            with world.transaction():
                return ACTIONS[operation](world, parameters, credentials)

        return await play(request, fault, act)

    return [Route("/", action, methods=["POST"])]


def _refusal(
    headers: Mapping[str, str], parameters: dict[str, str], body: bytes, credentials: Credentials
) -> tuple[str, str, int] | None:
    """What is wrong with the signature, if anything: code, message, HTTP status."""
    found = re.fullmatch(
        r"ACS3-HMAC-SHA256 Credential=([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]+)",
        headers.get("authorization", ""),
    )
    if not found:
        return "MissingAuthorization", "Authorization is missing or malformed.", 400
    key_id, names = found[1], found[2].split(";")
    if key_id != credentials.aliyun_key_id:
        return "InvalidAccessKeyId.NotFound", "Specified access key is not found.", 404
    needed = {"host", *(name for name in headers if name.startswith("x-acs-"))}
    if not needed <= set(names) or not set(names) <= set(headers):
        return "IncompleteSignature", "Every x-acs- header and the host must be signed.", 400
    try:
        at = datetime.strptime(headers["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (KeyError, ValueError):
        return "InvalidTimeStamp.Format", "Specified time stamp is malformed.", 400
    if abs(at.timestamp() - time.time()) > CLOCK_SKEW:
        return "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.", 400
    signed = {name: headers[name] for name in names}
    secret = credentials.aliyun_key_secret
    good = authorization("POST", canonical_query(parameters), signed, key_id, secret).rsplit("=", 1)[1]
    if body or not hmac.compare_digest(good, found[3]):
        return "SignatureDoesNotMatch", "Specified signature is not matched with our calculation.", 400
    return None


def _gateway(code: str, message: str, status: int) -> Response:
    return JSONResponse({"RequestId": str(uuid.uuid4()).upper(), "Code": code, "Message": message}, status)


def _answer(code: str = "OK", message: str = "OK", **more: Any) -> Response:
    return JSONResponse({"Code": code, "Message": message, "RequestId": str(uuid.uuid4()).upper(), **more})


def _send(world: World, asked: dict[str, str], credentials: Credentials) -> Response:
    """Send one message: the same parameters again are another message."""
    phone, template, out_id = asked.get("PhoneNumbers", ""), asked.get("TemplateCode", ""), asked.get("OutId", "")
    if not PHONE.fullmatch(phone):
        return _answer("isv.MOBILE_NUMBER_ILLEGAL", "非法手机号")
    if asked.get("SignName") != credentials.aliyun_sign_name:
        return _answer("isv.SMS_SIGNATURE_ILLEGAL", "短信签名不合法")
    if template not in credentials.aliyun_templates.values():
        return _answer("isv.SMS_TEMPLATE_ILLEGAL", "短信模版不合法")
    try:
        values = json.loads(asked.get("TemplateParam", "{}"))
    except ValueError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        return _answer("isv.INVALID_JSON_PARAM", "JSON参数不合法，只接受字符串值")
    now = world.now()
    day = _day(phone, f"{now.astimezone(BEIJING):%Y%m%d}")
    if world.size(day) >= A_DAY:
        return _answer("isv.BUSINESS_LIMIT_CONTROL", "触发天级流控Permits:50")
    biz_id = f"{int(now.timestamp() * 1000)}^{world.size(day)}"
    sent = {
        "OutId": out_id,
        "PhoneNum": phone,
        "TemplateCode": template,
        "Content": f"【{credentials.aliyun_sign_name}】{asked.get('TemplateParam', '')}",
        "SendDate": f"{now.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
        "received_at": time.time() + DELIVERED_AFTER / world.speed,
    }
    world.put(day, biz_id, sent)
    count = (world.get(SENT_BY_TEMPLATE, template) or {"sent": 0})["sent"] + 1
    world.put(SENT_BY_TEMPLATE, template, {"sent": count})
    world.count(PLATFORM, "SendSms", out_id or biz_id, took_effect=True)
    return _answer(BizId=biz_id)


def _details(world: World, asked: dict[str, str], credentials: Credentials) -> Response:
    """The receipts of one number on one Beijing day, newest first, in pages of at most 50."""
    try:
        size, page = int(asked["PageSize"]), int(asked["CurrentPage"])
        day = _day(asked["PhoneNumber"], asked["SendDate"])
    except (KeyError, ValueError):
        return _answer("isv.INVALID_PARAMETERS", "参数异常")
    if not 1 <= size <= 50 or page < 1:
        return _answer("isv.INVALID_PARAMETERS", "PageSize 1-50, CurrentPage 从 1 开始")
    sent = world.window(day)[::-1]
    shown = [_detail(message) for message in sent[(page - 1) * size : page * size]]
    return _answer(TotalCount=str(len(sent)), SmsSendDetailDTOs={"SmsSendDetailDTO": shown})


def _detail(message: dict[str, Any]) -> dict[str, Any]:
    """A receipt: 1 waiting, 2 failed, 3 delivered."""
    told = {name: value for name, value in message.items() if name != "received_at"}
    if time.time() < message["received_at"]:
        return told | {"SendStatus": 1, "ErrCode": "", "ReceiveDate": ""}
    if NOT_IN_SERVICE in message["PhoneNum"][:9]:
        return told | {"SendStatus": 2, "ErrCode": "MOBILE_NOT_ON_SERVICE", "ReceiveDate": ""}
    received = datetime.fromtimestamp(message["received_at"], BEIJING)
    return told | {"SendStatus": 3, "ErrCode": "DELIVERED", "ReceiveDate": f"{received:%Y-%m-%d %H:%M:%S}"}


def _day(phone: str, day: str) -> str:
    """The kind of document that holds one number's messages of one day: what Aliyun can be asked for."""
    return f"sms/{phone[-11:]}/{day}"


ACTIONS = {"SendSms": _send, "QuerySendDetails": _details}
