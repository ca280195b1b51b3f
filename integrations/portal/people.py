"""Who is at the page: the signed-in person, what their role may do, and proof that the form was ours."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from sqlalchemy import text
from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from integrations.portal.bodies import read_form
from integrations.portal.rendering import html
from models.database import in_transaction, utcnow
from models.matrix import ROLES
from models.staff import SIGNED_IN, who

COOKIE = "orderloom_staff"
SAID = "orderloom_said"
SAID_SECONDS = 30
LONGEST_SENTENCE = 300

#: Who may do what. Reading is for everybody who is signed in.
MAY = {
    "decide": frozenset({*ROLES, "admin"}),  # each the reviews of their own role
    "cancel": frozenset({"customer_service", "customer_service_lead", "warehouse_supervisor", "admin"}),
    "arrange": frozenset({"customer_service", "customer_service_lead", "warehouse_supervisor", "admin"}),
    "release": frozenset({"customer_service", "customer_service_lead", "warehouse_supervisor", "admin"}),
    "fill_form": frozenset({"customer_service", "customer_service_lead", "nutritionist", "admin"}),
    "wake": frozenset({"customer_service", "customer_service_lead", "warehouse_supervisor", "nutritionist", "admin"}),
    "stock": frozenset({"warehouse_supervisor", "admin"}),
    "check_stock": frozenset({"warehouse_supervisor", "customer_service_lead", "admin"}),
    "compensate": frozenset({"customer_service_lead", "finance", "admin"}),
    "correct": frozenset({"customer_service", "customer_service_lead", "admin"}),
    "explain_gap": frozenset({"customer_service_lead", "admin"}),
    "import": frozenset({"customer_service_lead", "admin"}),
    "see_coupons": frozenset({"customer_service", "customer_service_lead", "admin"}),
}

ROLE_WORDS = {
    "customer_service": "客服",
    "customer_service_lead": "客服主管",
    "warehouse_supervisor": "仓库主管",
    "nutritionist": "营养师",
    "production_manager": "生产主管",
    "marketing_manager": "市场经理",
    "finance": "财务",
    "admin": "管理员",
    "auditor": "审计",
}

_COUNTS = text("""
SELECT (SELECT count(*) FROM review_case WHERE state = 'open') AS reviews,
  (SELECT count(*) FROM quarantine WHERE resolved_at IS NULL) AS quarantined,
  (SELECT count(*) FROM stock_check WHERE state = 'open') AS checks,
  (SELECT count(*) FROM pull_window WHERE state IN ('gap', 'unexplained')) AS gaps,
  (SELECT count(*) FROM compensation c JOIN fulfilment f ON f.id = c.fulfilment_id
    WHERE c.state = 'stopped' AND f.ready_at IS NOT NULL) + (SELECT count(*) FROM refund WHERE state = 'stuck') AS money
""")


@dataclass(frozen=True)
class Visit:
    """One request of one signed-in person. `form` is empty on GET; `csrf` is what our forms carry."""

    request: Request
    name: str
    role: str
    csrf: str
    form: Mapping[str, str]
    now: datetime

    def may(self, what: str) -> bool:
        """Whether this person's role may do `what` (a key of `MAY`)."""
        return self.role in MAY[what]

    def must_be_allowed(self, what: str) -> None:
        """Raises `HTTPException` 403 with who could do it."""
        if not self.may(what):
            roles = "、".join(ROLE_WORDS[role] for role in sorted(MAY[what]))
            mine = ROLE_WORDS.get(self.role, self.role)
            raise HTTPException(403, f"您的角色({mine})不能做这件事,请找{roles}。没有任何改变。")

    def text(self, name: str, longest: int) -> str:
        """A field of the form, trimmed. Raises `HTTPException` 400 when it is too long."""
        value = self.form.get(name, "").strip()
        if len(value) > longest or "\x00" in value:
            raise HTTPException(400, f"填写的内容太长(最多 {longest} 个字),请返回缩短后再提交。")
        return value

    def render(self, session: Session, template: str, values: Mapping[str, Any]) -> Response:
        """A staff page: the template with these values and what every page shows."""
        counts = session.connection().execute(_COUNTS).one()
        said = unquote(self.request.cookies.get(SAID, ""))[:LONGEST_SENTENCE]
        common = {
            "visit": self,
            "role": ROLE_WORDS.get(self.role, self.role),
            "path": self.request.url.path,
            "said": said,
            "reviews_open": counts.reviews,
            "quarantined": counts.quarantined,
            "checks_open": counts.checks,
            "money_open": counts.money,
            "gaps_open": counts.gaps,
            "now": self.now,
        }
        response = html(template, {**common, **values})
        if said:
            response.delete_cookie(SAID, httponly=True, samesite="strict")
        return response

    def go(self, path: str, sentence: str) -> Response:
        """Go on to `path` (one of ours) and say `sentence` there, once."""
        response = RedirectResponse(path, 303)
        said = quote(sentence[:LONGEST_SENTENCE])
        response.set_cookie(SAID, said, max_age=SAID_SECONDS, httponly=True, samesite="strict")
        return response


Page = Callable[[Visit, Session], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def page(work: Page) -> Endpoint:
    """An endpoint that runs `work` in one transaction, in a thread, for the person who is signed in.

    Nobody signed in: to the sign-in page. A form without our token, or from another origin: 403.
    """

    async def endpoint(request: Request) -> Response:
        form = await read_form(request) if request.method == "POST" else {}
        cookie = request.cookies.get(COOKIE, "")

        def visit(session: Session) -> Response:
            now = utcnow()
            person = who(session, cookie, now) if cookie else None
            if person is None:
                return to_sign_in(request)
            csrf = form_token(cookie)
            if request.method == "POST":
                check_form(request, form, csrf)
            return work(Visit(request, person.name, person.role, csrf, form, now), session)

        return await in_transaction(visit)

    return endpoint


def form_token(secret: str) -> str:
    """What a form must carry to be ours: made from a cookie that no other site can read."""
    return hmac.digest(secret.encode(), b"orderloom form", hashlib.sha256).hex()


def check_form(request: Request, form: Mapping[str, str], token: str) -> None:
    """Raises `HTTPException` 403 unless the form carries our token and comes from our own page."""
    origin = request.headers.get("origin")
    ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not ours or not hmac.compare_digest(form.get("csrf", "").encode(), token.encode()):
        raise HTTPException(403, "这张表单不是从本页面提交的,或已经过期:请返回刷新页面再提交。没有任何改变。")


def to_sign_in(request: Request) -> Response:
    """The way to the sign-in page and back again."""
    if request.method != "GET" or request.url.path == "/":
        return RedirectResponse("/sign-in", 303)
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(wanted, safe='')}", 303)


def local_path(wanted: str) -> str:
    """`wanted` if it is a path of ours, else `/`: a link must not lead through us to somewhere else."""
    ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if ours and "\\" not in wanted and len(wanted) <= 500 else "/"


def remember(response: Response, cookie: str) -> None:
    """Sign this browser in. No `Secure`: the staff pages are served on loopback, without TLS."""
    response.set_cookie(COOKIE, cookie, max_age=int(SIGNED_IN.total_seconds()), httponly=True, samesite="strict")


def forget(response: Response) -> None:
    """Sign this browser out."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
