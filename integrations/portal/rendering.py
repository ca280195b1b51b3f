"""Pages: Jinja templates with everything escaped, and one clear sentence for every error."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from models.database import DatabaseMissing
from models.privacy import PrivacyKeyMissing, mask_phone
from models.settings import settings
from models.wording import CHANNEL_WORDS, STAGE_WORDS, TZ, WAITING_WORDS, local, say, yuan

HERE = Path(__file__).parent
log = logging.getLogger(__name__)
_PHONE = re.compile(r"(?<![0-9A-Za-z])1[0-9]{10}(?![0-9A-Za-z])")

SENTENCES = {
    400: "请求读不懂,请返回上一页再试。",
    403: "您没有做这件事的权限。",
    404: "没有这个页面:请核对链接,或从首页进入。",
    405: "这个地址不接受这种请求。",
    408: "数据没有传完,请再试一次。",
    413: "内容太大,没有接收。",
    429: "请求太频繁,请稍等一会儿再试。",
    500: "页面出错了,已经记下来。请稍后再试;多次出现请告诉管理员。",
    503: "数据库暂时连不上,请过一分钟再试。",
}


@lru_cache(maxsize=1)
def templates() -> Environment:
    """The templates of this package; every value is escaped, a missing one is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["in_shadow"] = lambda: settings().shadow
    environment.filters.update(
        local=local,
        clock=lambda moment: f"{moment.astimezone(TZ):%H:%M}",
        day=lambda moment: f"{moment.astimezone(TZ):%Y-%m-%d}",
        exactly=lambda moment: f"{moment.astimezone(TZ):%Y-%m-%d %H:%M:%S}",
        yuan=yuan,
        lasting=lasting,
        stage=lambda name: say(STAGE_WORDS, name),
        waiting=lambda name: say(WAITING_WORDS, name),
        channel=lambda name: say(CHANNEL_WORDS, name),
        platform_id=platform_id,
        quiet=quiet,
        coded=coded,
        due=due,
    )
    return environment


def html(template: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """The page that this template makes of these values."""
    return HTMLResponse(templates().get_template(template).render(values), status)


def platform_id(id: str) -> str:
    """A platform's id of an order as its own pages show it: without Shopify's `gid://shopify/Order/`."""
    return id.removeprefix("gid://shopify/Order/")


def quiet(said: str) -> str:
    """Text from outside (a note, a platform's own words) with phone numbers in it masked."""
    return _PHONE.sub(lambda found: mask_phone(found[0]), said)


def coded(said: str) -> Markup:
    """A sentence of ours in which `commands` stand between back-ticks, escaped, with those as code."""
    parts = [f"<code>{escape(part)}</code>" if at % 2 else str(escape(part)) for at, part in enumerate(said.split("`"))]
    return Markup("".join(parts))


def lasting(span: timedelta | float) -> str:
    """A span of time (or seconds) in words: `3 分钟`, `2 小时 5 分`, `4 天`."""
    minutes = int((span.total_seconds() if isinstance(span, timedelta) else span) // 60)
    if minutes < 1:
        return "不到 1 分钟"
    if minutes < 60:
        return f"{minutes} 分钟"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} 小时 {minutes} 分" if minutes else f"{hours} 小时"
    return f"{hours // 24} 天"


def due(moment: datetime, now: datetime) -> str:
    """How far a due time is: `还有 12 分钟`, `已超时 3 小时`."""
    return f"还有 {lasting(moment - now)}" if moment >= now else f"已超时 {lasting(now - moment)}"


def answer_errors(app: Starlette, home: str) -> None:
    """Every error of this application becomes a page (JSON under `/webhooks`) with one sentence.

    `home` is where the page leads to, "" for nowhere.
    """

    def answer(request: Request, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
        if request.url.path.startswith("/webhooks"):
            return JSONResponse({"ok": False, "error": sentence}, status, headers)
        response = html("error.html", {"status": status, "sentence": sentence, "home": home}, status)
        response.headers.update(headers or {})
        return response

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        chosen = error.detail and not error.detail.isascii()  # Starlette's own details are English
        sentence = error.detail if chosen else SENTENCES.get(error.status_code, SENTENCES[400])
        return answer(request, error.status_code, sentence, error.headers)

    async def not_now(request: Request, error: Exception) -> Response:
        log.error("the portal cannot work: %s", error)
        return answer(request, 503, SENTENCES[503], {"Retry-After": "30"})

    async def unforeseen(request: Request, error: Exception) -> Response:
        return answer(request, 500, SENTENCES[500])

    app.add_exception_handler(HTTPException, http_error)
    for kind in (OperationalError, DatabaseMissing, PrivacyKeyMissing):
        app.add_exception_handler(kind, not_now)
    app.add_exception_handler(Exception, unforeseen)
