"""`/intake`: whether every order of every channel is here, what is missing, and the word of who has looked into it."""

from __future__ import annotations

import os

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from integrations.channels.connecting import connected_shops, connections
from integrations.portal.intake_chart import BAR, chart
from integrations.portal.people import Visit, page
from models.intake_page import HEALTH_WORDS, Health, standings
from models.settings import settings
from models.window import explain_gap, latest_windows, open_windows
from models.window_history import Happened, WindowEvent, history_of
from models.wording import WINDOW_WHY_WORDS, WINDOW_WORDS, say

LIST = "/intake"
WINDOWS, MOST_GAPS = 24, 50
#: Order ids of a gap that are shown at once, and in all; the others are counted.
AT_ONCE = 20
MOST_NAMED = 200
LONGEST_REASON = 200


@page
def intake(visit: Visit, session: Session) -> Response:
    """`GET /intake`: the shops, the open gaps with their orders, and the newest windows with what happened to them."""
    config = settings()
    shops = standings(session, connected_shops(config), visit.now)
    gaps, newest = open_windows(session, MOST_GAPS), latest_windows(session, WINDOWS)
    known = {one.channel: one for one in connections(config)}
    values = {
        "shops": [(shop, chart(shop.hours), known.get(shop.channel)) for shop in shops],
        "gaps": gaps,
        "newest": newest,
        "history": history_of(session, [row.id for row in (*gaps, *newest) if row.id is not None]),
        "unconnected": [one for one in known.values() if not one.connected],
        "health": {health.value: say(_HEALTH, health.value) for health in Health},
        "state": lambda name: say(WINDOW_WORDS, name),
        "why": lambda name: say(WINDOW_WHY_WORDS, name),
        "told": told,
        "bar": BAR,
        "at_once": AT_ONCE,
        "most_named": MOST_NAMED,
        "most": MOST_GAPS,
        "longest": LONGEST_REASON,
        "prefect": prefect_address(),
    }
    return visit.render(session, "intake.html", values)


@page
def explain(visit: Visit, session: Session) -> Response:
    """`POST /intake/{id}`: somebody has looked into a gap, and says why it is none. It is not pulled again."""
    visit.must_be_allowed("explain_gap")
    reason = visit.text("reason", LONGEST_REASON)
    if not reason:
        raise HTTPException(400, "请写明核对的结果(例如:买家在平台删除了订单),再提交。没有任何改变。")
    window_id = visit.request.path_params["id"]
    if window_id >= 2**63 or not explain_gap(session, window_id, visit.name, reason, visit.now):
        return visit.go(LIST, "这个缺口刚才已经补上,或已经有人核对过了。没有任何改变。")
    return visit.go(LIST, "已记下核对的结果,这个窗口不再补拉。")


def told(event: WindowEvent) -> str:
    """One row of a window's history as a sentence."""
    if event.kind == Happened.EXPLAINED:
        return f"{event.actor} 核对:{event.said}"
    if event.kind == Happened.FAILED:
        return f"没有读完:{event.said}"
    fetched = f",按单号补取 {event.fetched}" if event.fetched else ""
    lacking = f",还缺 {event.missing_count}" if event.missing_count else ",齐全"
    return f"平台 {event.told},我们有 {event.held}{fetched}{lacking}"


def prefect_address() -> str:
    """Where the deployments are in the Prefect UI."""
    base = os.environ.get("ORDERLOOM_PREFECT_UI_URL") or f"http://127.0.0.1:{settings().ports.prefect}"
    return f"{base.rstrip('/')}/deployments"


_HEALTH = {health.value: words for health, words in HEALTH_WORDS.items()}

ROUTES = [
    Route("/intake", intake, methods=["GET"]),
    Route("/intake/{id:int}", explain, methods=["POST"]),
]
