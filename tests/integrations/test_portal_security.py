"""What the pages withstand: hostile text, forged forms, guessed passwords, other hosts; and what they always say."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlmodel import Session
from starlette.requests import Request

from integrations.portal.buckets import Buckets, client_of
from integrations.portal.people import COOKIE, local_path
from integrations.portal.rendering import coded, quiet
from models import staff
from models.quality import Fault
from models.quarantine import set_aside
from models.review import ReviewCase
from models.timeline import EventKind, note
from tests.integrations.portal_server import (
    PASSWORD,
    Browser,
    Portal,
    an_account,
    an_order_of,
    committed,
    now,
    one,
    running_portal,
    signed_in,
    with_hold,
    with_parcel,
    with_review,
)

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}{% raw %}${7*7}`<b>`"
STAFF_PAGES = (
    "/", "/orders/SH-1001", "/orders/none", "/reviews", "/stock-checks", "/compensations", "/quarantine", "/help",
)  # fmt: skip


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        yield running


@pytest.fixture
def browser(portal: Portal) -> Iterator[Browser]:
    with signed_in(portal) as person:
        yield person


def in_an_hour() -> dict[str, Any]:
    return {"ready_at": now() + timedelta(hours=1)}


def test_hostile_text_is_shown_as_text_on_every_page(portal: Portal, browser: Browser) -> None:
    order = an_order_of(title=HOSTILE, stage="reserved", waiting_on="review", waiting_why=HOSTILE, **in_an_hour())
    parcel = with_parcel(order)
    case = with_review(order)
    with_hold(order, reason=HOSTILE)
    committed(lambda s: set_aside(s, "douyin", HOSTILE, HOSTILE, [Fault("x", HOSTILE)], {}, now()))

    def hostile(session: Session) -> None:
        row = session.get_one(type(order.order), order.order_id)
        row.note = row.channel_order_name = row.shop = HOSTILE
        asked = session.get_one(ReviewCase, case.id)
        asked.reasons = [HOSTILE]
        note(session, order.order_id, EventKind.CANCEL_REQUESTED, HOSTILE, now(), reason=HOSTILE)

    committed(hostile)
    pages = [browser.get(path) for path in ("/", "/orders/SH-1001", "/reviews", "/quarantine")]
    pages.append(browser.get("/", params={"q": HOSTILE}))
    pages.append(browser.get("/orders/" + HOSTILE.replace("/", "")))
    pages.append(httpx.get(f"{portal.public}/t/{parcel.token}", trust_env=False))
    pages.append(browser.get("/sign-in", params={"next": HOSTILE}))
    for page in pages[:7]:
        assert "&lt;script&gt;alert(1)" in page.text, page.url
        assert "{{ 7*7 }}{% raw %}${7*7}" in page.text, page.url
    for page in pages:
        assert page.status_code in (200, 303, 404)
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "<b>`" not in page.text


def test_pages_have_no_inline_script_or_style(portal: Portal, browser: Browser) -> None:
    order = an_order_of(**in_an_hour())
    parcel = with_parcel(order)
    with_hold(order)
    with_review(order)
    pages = [browser.get(path).text for path in STAFF_PAGES]
    pages.append(httpx.get(f"{portal.public}/t/{parcel.token}", trust_env=False).text)
    for page in pages:
        assert "style=" not in page
        assert "<style" not in page
        assert not re.search(r"\son[a-z]+=", page)
        assert set(re.findall(r'(?:src|href)="(https?:[^"]*)"', page)) == set()
        assert page.count("<script") == page.count('<script src="/static/')


def test_every_answer_has_the_security_headers(portal: Portal, browser: Browser) -> None:
    an_order_of(**in_an_hour())
    answers = [browser.get(path) for path in (*STAFF_PAGES, "/nowhere", "/sign-out", "/static/portal.css")]
    answers.append(browser.post("/orders/SH-1001/wake", data={}))
    with httpx.Client(base_url=portal.public, trust_env=False) as client:
        answers += [client.get(path) for path in ("/t/x", "/healthz", "/nowhere", "/static/portal.css")]
        answers += [client.post("/webhooks/mes", content=b"{}"), client.get("/webhooks/mes")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        static = answer.url.path.startswith("/static/")
        assert answer.headers["cache-control"] == ("public, max-age=3600" if static else "no-store"), answer.url


def test_unforeseen_error_is_a_page_with_headers_and_without_the_error(
    portal: Portal, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("integrations.portal.quarantine_page.waiting_list", broken)
    answer = browser.get("/quarantine")
    assert answer.status_code == 500
    assert "页面出错了" in answer.text
    assert "secret detail" not in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_nothing_of_the_staff_pages_is_shown_without_signing_in(portal: Portal) -> None:
    an_order_of(**in_an_hour())
    with Browser(portal) as stranger:
        for path in STAFF_PAGES:
            answer = stranger.get(path)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/sign-in")
            assert "SH-1001" not in answer.text
        for path in ("/orders/SH-1001/wake", "/orders/SH-1001/cancel", "/orders/SH-1001/release", "/reviews/1"):
            assert stranger.post(path, data={"reason": "x"}).headers["location"] == "/sign-in"
    assert one("SELECT count(*) FROM order_event WHERE kind <> 'received'") == 0


@pytest.mark.parametrize("forged", ["missing", "empty", "other", "origin"])
def test_form_that_is_not_ours_is_refused_and_changes_nothing(portal: Portal, browser: Browser, forged: str) -> None:
    order = an_order_of(**in_an_hour())
    with_hold(order)
    case = with_review(order)
    an_account("李华", "admin")
    with Browser(portal) as other:
        other.sign_in("李华")
        tokens = {"empty": "", "other": other.token("/help"), "origin": browser.token("/help")}
    fields = {"reason": "x", "code": "paid_amount_differs", "verdict": "approve"}
    if forged != "missing":
        fields["csrf"] = tokens[forged]
    origin = {"origin": "https://evil.example"} if forged == "origin" else {}
    for path in (
        "/orders/SH-1001/wake", "/orders/SH-1001/cancel", "/orders/SH-1001/release", f"/reviews/{case.id}", "/sign-out",
    ):  # fmt: skip
        answer = browser.post(path, data=fields, headers=origin)
        assert answer.status_code == 403, path
        assert "没有任何改变" in answer.text
    assert browser.get("/help").status_code == 200
    assert [
        kind for kind in EventKind if order.events(kind) and kind not in ("received", "held", "review_opened")
    ] == []


def test_our_own_origin_is_accepted(browser: Browser, portal: Portal) -> None:
    an_order_of(**in_an_hour())
    fields = {"csrf": browser.token("/help")}
    assert browser.post("/orders/SH-1001/wake", data=fields, headers={"origin": portal.staff}).status_code == 303


def test_cookie_of_a_sign_in_is_httponly_and_strict(portal: Portal) -> None:
    an_account()
    with Browser(portal) as browser:
        set_cookies = browser.sign_in().headers.get_list("set-cookie")
    (signed,) = [cookie for cookie in set_cookies if cookie.startswith(f"{COOKIE}=")]
    assert "HttpOnly" in signed
    assert "samesite=strict" in signed.lower()
    assert "Path=/" in signed


def test_wrong_password_and_unknown_name_read_the_same(portal: Portal) -> None:
    an_account("王敏")
    with Browser(portal) as browser:
        wrong, unknown = browser.sign_in("王敏", "wrong"), browser.sign_in("没有这个人", "wrong")
        odd = [browser.sign_in("a\x00b", "x"), browser.sign_in("x" * 65, "x"), browser.sign_in("王敏", "x" * 257)]
    assert wrong.status_code == unknown.status_code == 401
    assert {answer.status_code for answer in odd} == {401}
    assert "账号或密码不对" in wrong.text
    assert "账号或密码不对" in unknown.text
    assert one("SELECT count(*) FROM sign_in") == 0


def test_sign_in_form_needs_its_token(portal: Portal) -> None:
    an_account()
    with Browser(portal) as browser:
        browser.get("/sign-in")
        answer = browser.post("/sign-in", data={"name": "王敏", "password": PASSWORD})
    assert answer.status_code == 403
    assert one("SELECT count(*) FROM sign_in") == 0


def test_guessing_a_password_is_slowed_down_and_other_people_are_not(portal: Portal) -> None:
    an_account("王敏")
    an_account("李华")
    with Browser(portal) as browser:
        statuses = [browser.sign_in("王敏", f"guess {number}").status_code for number in range(8)]
        assert statuses == [401] * 5 + [429] * 3
        locked = browser.sign_in("王敏", PASSWORD)
        assert locked.status_code == 429
        assert "秒后再试" in locked.text
        assert int(locked.headers["retry-after"]) >= 1
        assert browser.sign_in("李华").status_code == 303


def test_guessing_many_names_from_one_address_is_slowed_down(portal: Portal) -> None:
    with Browser(portal) as browser:
        statuses = [browser.sign_in(f"name{number}", "guess").status_code for number in range(24)]
    assert statuses[:20] == [401] * 20
    assert statuses[-1] == 429


def test_signing_in_often_with_the_right_password_is_not_slowed_down(portal: Portal) -> None:
    an_account()
    for _ in range(7):
        with Browser(portal) as browser:
            assert browser.sign_in().status_code == 303


def test_disabled_account_is_out_at_once(portal: Portal, browser: Browser) -> None:
    order = an_order_of(**in_an_hour())
    token = browser.token("/help")
    committed(lambda s: staff.disable(s, "王敏", now()))
    assert browser.get("/").headers["location"] == "/sign-in"
    assert browser.post("/orders/SH-1001/cancel", data={"csrf": token, "reason": "x"}).headers["location"] == "/sign-in"
    assert browser.sign_in().status_code == 401
    assert order.events(EventKind.CANCEL_REQUESTED) == []


def test_signing_out_ends_this_sign_in_only(portal: Portal, browser: Browser) -> None:
    with Browser(portal) as second:
        second.sign_in()
        kept = browser.cookies[COOKIE]
        assert browser.send_form("/help", "/sign-out").headers["location"] == "/sign-in"
        browser.cookies.set(COOKIE, kept)
        assert browser.get("/").status_code == 303
        assert second.get("/").status_code == 200


def test_new_password_ends_all_sign_ins(browser: Browser) -> None:
    committed(lambda s: staff.set_password(s, "王敏", "admin", "another password", now()))
    assert browser.get("/").status_code == 303


def test_made_up_cookie_is_nobody(portal: Portal) -> None:
    with Browser(portal) as browser:
        for cookie in ("x", "A" * 43, "%00", "' OR 1=1"):
            assert browser.get("/", headers={"cookie": f"{COOKIE}={cookie}"}).status_code == 303


def test_after_signing_in_one_is_where_one_wanted_to_be(portal: Portal) -> None:
    an_account()
    an_order_of(**in_an_hour())
    with Browser(portal) as browser:
        asked = browser.get("/orders/SH-1001").headers["location"]
        assert asked == "/sign-in?next=%2Forders%2FSH-1001"
        answer = browser.send_form(asked, "/sign-in", name="王敏", password=PASSWORD, next="/orders/SH-1001")
        assert answer.headers["location"] == "/orders/SH-1001"
        assert browser.get(asked).headers["location"] == "/orders/SH-1001"


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\nb", "/" * 9]
)
def test_sign_in_leads_nowhere_else(wanted: str) -> None:
    assert local_path(wanted) == "/"


def test_other_host_names_are_refused_on_the_staff_listener(portal: Portal) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8081", ""):
        answer = httpx.get(f"{portal.staff}/sign-in", headers={"host": host}, trust_env=False)
        assert answer.status_code in (400, 421)
    for host in ("localhost:8081", "127.0.0.1", "[::1]:8081"):
        assert httpx.get(f"{portal.staff}/sign-in", headers={"host": host}, trust_env=False).status_code == 200


def test_form_that_is_too_large_or_no_form_is_refused(browser: Browser) -> None:
    an_order_of(**in_an_hour())
    large = browser.post("/orders/SH-1001/cancel", data={"csrf": browser.token("/help"), "reason": "x" * 20_000})
    many = browser.post("/orders/SH-1001/cancel", data={f"field{number}": "x" for number in range(400)})
    binary = browser.post("/orders/SH-1001/cancel", content=b"\xff\xfe=\x00")
    assert [large.status_code, many.status_code, binary.status_code] == [413, 400, 400]


def test_static_files_stay_in_their_folder(portal: Portal) -> None:
    with socket.create_connection(("127.0.0.1", int(portal.public.rpartition(":")[2])), timeout=5) as raw:
        raw.sendall(b"GET /static/../../../../pyproject.toml HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert raw.recv(200).startswith(b"HTTP/1.1 404")
    assert httpx.get(f"{portal.public}/static/%2e%2e/guard.py", trust_env=False).status_code == 404
    assert httpx.get(f"{portal.public}/static/", trust_env=False).status_code == 404


def test_bucket_empties_fills_and_forgets_the_longest_unseen() -> None:
    moment = [0.0]
    buckets = Buckets(burst=2, per_second=0.5, clock=lambda: moment[0], most=2)
    assert [buckets.take("a"), buckets.take("a"), buckets.take("a")] == [0.0, 0.0, 2.0]
    moment[0] = 2.0
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == 2.0
    buckets.give_back("a")
    assert buckets.take("a") == 0.0
    buckets.take("b")
    buckets.take("c")
    assert buckets.take("a", 2) == 0.0  # forgotten, so full again
    buckets.charge("a", 99)
    assert buckets.take("a") == pytest.approx(2.0)


def test_client_is_an_address_or_the_network_of_one_customer() -> None:
    def client(host: str) -> str:
        return client_of(Request({"type": "http", "client": (host, 1), "headers": []}))

    assert client("203.0.113.9") == "203.0.113.9"
    assert client("2001:db8::1") == client("2001:db8::ffff") == "2001:db8::/64"


def test_phone_numbers_in_text_are_masked_and_other_numbers_are_not() -> None:
    assert quiet("打 13812345678 没人接") == "打 138****5678 没人接"
    assert quiet("运单 SF13812345678 和 691381234567812") == "运单 SF13812345678 和 691381234567812"


def test_commands_in_a_sentence_are_code_and_nothing_else_is_markup() -> None:
    assert str(coded("运行 `orderloom up` <b>")) == "运行 <code>orderloom up</code> &lt;b&gt;"
    assert str(coded("`<i>`")) == "<code>&lt;i&gt;</code>"


def test_slow_sender_is_dropped(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations.portal.bodies.read_body.__defaults__", (0.3,))
    with socket.create_connection(("127.0.0.1", int(portal.public.rpartition(":")[2])), timeout=5) as raw:
        raw.sendall(b"POST /webhooks/mes HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        begun = time.monotonic()
        assert raw.recv(200).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - begun < 4
