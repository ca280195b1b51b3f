"""The order form behind a customer's link, over real HTTP: filled in without a script, corrected, saved, too late."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import Any

import httpx
import pytest
from sqlmodel import Session, select

from models import hold
from models.cancellation import request_cancellation
from models.customer_link import token_for
from models.form_desk import INCOMPLETE, ask, pets_of
from models.fulfilment import FulfilmentLine
from models.order import OrderLine
from models.timeline import EventKind
from tests.integrations.portal_money import paid
from tests.integrations.portal_server import (
    RECEIVER,
    Portal,
    Seeded,
    an_order_of,
    committed,
    now,
    one,
    running_portal,
    signed_in,
    with_hold,
    with_parcel,
    with_work_order,
)

GONE = "这个链接不存在或已过期"
WHOLE = {"species": "dog", "breed": "corgi", "weight_kg": "11.5", "staple_preference": "dry", "allergens.chicken": "1"}


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        yield running


def asked(order_no: str = "SH-1001") -> Seeded:
    """An order whose form lacks the staple, on hold for it."""
    order = paid(an_order_of(order_no))

    def work(session: Session) -> None:
        (pet,) = pets_of(session, order.order, now())
        ask(session, order.order, pet.line, pet.result, now())

    committed(work)
    return order


class Customer(httpx.Client):
    """Somebody with a phone and a link."""

    def __init__(self, portal: Portal, order: Seeded) -> None:
        super().__init__(base_url=portal.public, trust_env=False, timeout=30)
        self.link = "/o/" + committed(lambda s: token_for(s, order.order_id, now()))
        self.form = f"{self.link}/form"

    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.get(self.form).text)
        return found[1] if found else ""

    def fills(self, language: str = "zh", **answers: str) -> httpx.Response:
        """Send the form as a browser without a script does. Answers by question, of line 1."""
        fields = {f"1.{name}": answer for name, answer in answers.items()}
        return self.post(f"{self.form}?lang={language}", data={"csrf": self.csrf(), "1": "1", **fields})


def line_of(order: Seeded, number: int = 1) -> OrderLine:
    wanted = select(OrderLine).where(OrderLine.order_id == order.order_id, OrderLine.line_no == number)
    return committed(lambda s: s.exec(wanted).one())


def open_codes(order: Seeded) -> list[str]:
    return [held.code for held in committed(lambda s: hold.open_holds(s, order.order_id))]


def errors(page: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'<p class="error"[^>]*>([^<]+)</p>', page)]


def chosen(page: str) -> list[str]:
    return re.findall(r'value="([^"]*)" (?:checked|selected)', page)


def test_the_form_shows_every_question_with_help_unit_and_what_is_known(portal: Portal) -> None:
    customer = Customer(portal, asked())
    answer = customer.get(customer.form)
    page = answer.text
    assert answer.status_code == 200
    for shown in ("SH-1001", "填写宠物档案", "鲜食主粮 500g", "物种", "出生日期或年龄", "例如 2022-05-01", "kg",
                  "2 到 20 kg", "健康备注", "其他(列表里没有的)", 'lang="zh-CN"',
                  'content="width=device-width'):  # fmt: skip
        assert shown in page, shown
    assert set(chosen(page)) >= {"dog", "corgi"}
    assert 'value="11.5"' in page
    for hidden in (RECEIVER.name, RECEIVER.phone, RECEIVER.detail, "王", "5678", "南山区"):
        assert hidden not in page, hidden
    assert errors(page) == []
    assert answer.headers["cache-control"] == "no-store"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert re.findall(r"<script(?![^>]*src=)|\son[a-z]+=|style=", page) == []
    assert re.findall(r'(?:src|href)="(?:https?:)?//', page) == []


def test_the_order_page_leads_to_the_form_while_something_is_asked(portal: Portal) -> None:
    order = asked()
    customer = Customer(portal, order)
    page = customer.get(customer.link).text
    assert f'href="{customer.form}"' in page and "还要您补充宠物档案才能开始制作:主食偏好" in page
    customer.fills(**WHOLE)
    assert customer.form not in customer.get(customer.link).text


def test_an_answer_that_completes_it_lets_the_order_go_on(portal: Portal) -> None:
    order = asked()
    customer = Customer(portal, order)
    seen = one("SELECT wake_seq FROM fulfilment WHERE id = :id", id=order.fulfilment_id)
    saved = customer.fills(**WHOLE, neutered="true")
    assert (saved.status_code, saved.headers["location"]) == (303, f"{customer.form}?saved=1&lang=zh")
    page = customer.get(saved.headers["location"]).text
    assert "已保存,谢谢" in page and "干粮" in page
    line = line_of(order)
    assert line.answers == {"staple_preference": "dry", "neutered": True}  # the rest only repeats the channel
    assert line.profile["breed"] == "柯基犬"
    assert open_codes(order) == []
    assert one("SELECT wake_seq FROM fulfilment WHERE id = :id", id=order.fulfilment_id) > seen
    (event,) = order.events(EventKind.PROFILE_FILLED)
    assert (event.actor, event.detail["answers"]) == ("customer", {"主食偏好": "干粮", "绝育": "已绝育"})


def test_a_wrong_answer_is_named_at_its_field_and_what_was_typed_is_kept(portal: Portal) -> None:
    order = asked()
    customer = Customer(portal, order)
    answer = customer.fills(
        **{**WHOLE, "breed": "chihuahua", "weight_kg": "80公斤", "health_notes": '<b>肠胃</b> & "敏感"'}
    )
    assert answer.status_code == 422
    assert errors(answer.text) == ["体重 80 kg 对吉娃娃不合理,请填 1 到 6 kg 之间"]
    assert "有 1 处要改" in answer.text
    assert 'value="80公斤"' in answer.text and "1 到 6 kg" in answer.text
    assert "&lt;b&gt;肠胃&lt;/b&gt;" in answer.text and "<b>肠胃" not in answer.text
    assert set(chosen(answer.text)) >= {"dog", "chihuahua", "dry"}
    assert line_of(order).answers == {}
    assert open_codes(order) == [INCOMPLETE]
    assert order.events(EventKind.PROFILE_FILLED) == []


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"species": ""}, "请回答这一项"),
        ({"weight_kg": ""}, "请回答这一项"),
        ({"weight_kg": "很胖"}, "体重「很胖」看不懂,请填一个数字,单位 kg"),
        ({"allergens.chicken": ""}, "请回答这一项"),
        ({"allergens.-none": "1"}, "过敏原选了「没有」,又选了别的,请只留一种"),
        ({"birth_date": "2999-01-01"}, "出生日期或年龄 2999-01-01 还没有到,请核对日期"),
        (
            {"species": "cat", "weight_kg": "5"},
            "品种「柯基犬」与猫不符,请从 中华田园猫、英国短毛猫、美国短毛猫、布偶猫、暹罗猫、加菲猫等 中选",
        ),
        ({"species": "rabbit", "breed": ""}, "物种「rabbit」不在可选项里,请从 狗、猫 中选"),
        ({"health_notes": "长" * 1001}, "健康备注太长,最多 1000 个字"),
    ],
    ids=range(9),
)
def test_every_kind_of_mistake_has_its_sentence(portal: Portal, answers: dict[str, str], said: str) -> None:
    answer = Customer(portal, asked()).fills(**{**WHOLE, **answers})
    assert answer.status_code == 422
    assert said in errors(answer.text)


def test_no_allergies_is_an_answer_and_others_may_be_typed(portal: Portal) -> None:
    order = asked()
    customer = Customer(portal, order)
    none = {name: answer for name, answer in WHOLE.items() if not name.startswith("allergens")}
    assert customer.fills(**none, **{"allergens.-none": "1"}).status_code == 303
    assert line_of(order).answers["allergens"] == []
    assert customer.fills(**WHOLE, **{"allergens.-other": "花生、鸭肉"}).status_code == 303
    assert line_of(order).answers["allergens"] == ["chicken", "花生", "duck"]


def test_english_for_who_asks_for_it(portal: Portal) -> None:
    customer = Customer(portal, asked())
    by_browser = customer.get(customer.form, headers={"Accept-Language": "en-GB,en;q=0.9,zh;q=0.5"}).text
    by_address = customer.get(f"{customer.form}?lang=en").text
    for page in (by_browser, by_address):
        assert 'lang="en"' in page and "Birth date or age" in page and "golden retriever" in page and "optional" in page
    assert "出生日期" in customer.get(f"{customer.form}?lang=zh", headers={"Accept-Language": "en"}).text
    wrong = customer.fills("en", **{**WHOLE, "weight_kg": "80"})
    assert errors(wrong.text) == ["Weight 80 kg is not plausible for corgi: please give 2 to 20 kg"]


def test_several_pets_are_on_one_page_and_each_is_kept_when_it_is_whole(portal: Portal) -> None:
    order = paid(an_order_of())

    def another(session: Session) -> None:
        line = OrderLine(
            order_id=order.order_id, line_no=2, channel_line_id="L2", sku="FRESH-500", title="猫主粮 1kg", quantity=1,
            made_to_order=True, profile={"species": "cat"},
        )  # fmt: skip
        session.add(line)
        session.flush()
        session.add(FulfilmentLine(fulfilment_id=order.fulfilment_id, order_line_id=line.id or 0, quantity=1))
        session.flush()
        first, _ = pets_of(session, order.order, now())
        ask(session, order.order, first.line, first.result, now())

    committed(another)
    customer = Customer(portal, order)
    page = customer.get(customer.form).text
    assert "第 1 件,共 2 件" in page and "猫主粮 1kg" in page
    first = {f"1.{name}": answer for name, answer in WHOLE.items()}
    second = {"2.species": "cat", "2.weight_kg": "50", "2.staple_preference": "wet", "2.allergens.-none": "1"}
    half = customer.post(customer.form, data={"csrf": customer.csrf(), "1": "1", "2": "1", **first, **second})
    assert half.status_code == 422 and "已保存填好的部分" in half.text
    assert errors(half.text) == ["体重 50 kg 对猫不合理,请填 0.3 到 15 kg 之间"]
    assert line_of(order, 1).answers["staple_preference"] == "dry" and line_of(order, 2).answers == {}
    assert open_codes(order) == [INCOMPLETE]
    whole = {"csrf": customer.csrf(), "1": "1", "2": "1", **first, **second, "2.weight_kg": "5"}
    assert customer.post(customer.form, data=whole).status_code == 303
    assert open_codes(order) == []


def test_the_same_form_sent_many_times_at_once_counts_once(portal: Portal) -> None:
    order = asked()
    customer = Customer(portal, order)
    fields = {"csrf": customer.csrf(), "1": "1", **{f"1.{name}": answer for name, answer in WHOLE.items()}}
    with ThreadPoolExecutor(6) as threads:
        told = list(threads.map(lambda _: customer.post(customer.form, data=fields).status_code, range(6)))
    assert told == [303] * 6
    assert len(order.events(EventKind.PROFILE_FILLED)) == len(order.events(EventKind.HOLD_RELEASED)) == 1


def made(order: Seeded) -> None:
    with_work_order(order)
    committed(
        lambda s: s.connection().exec_driver_sql(
            "INSERT INTO effect (kind, key, order_id, fulfilment_id, request, state, response, error, attempts, fence,"
            f" intended_at) VALUES ('production_release', 'r', {order.order_id}, {order.fulfilment_id}, '', 'done',"
            " '{\"id\": 1}', '', 1, 0, now())"
        )
    )


def sent(order: Seeded) -> None:
    with_parcel(order)
    committed(lambda s: s.connection().exec_driver_sql("UPDATE fulfilment SET stage = 'shipped'"))


def cancelled(order: Seeded) -> None:
    committed(lambda s: request_cancellation(s, order.order, "不要了", "customer", now()))


def matched(order: Seeded) -> None:
    committed(lambda s: s.connection().exec_driver_sql("UPDATE fulfilment_line SET recipe = 'dog-duck'"))
    committed(lambda s: hold.lift(s, order.order_id, "test", now()))


@pytest.mark.parametrize(
    ("happens", "sentence"),
    [
        (made, "商品已经排产,不能再改。"),
        (sent, "商品已经发出,不能再改。"),
        (cancelled, "订单已经取消,不用再填。"),
        (matched, "已按之前的答案选好配方,不能在这里改。"),
    ],
)
def test_what_comes_too_late_is_told_and_has_no_effect(portal: Portal, happens: Any, sentence: str) -> None:
    order = asked()
    customer = Customer(portal, order)
    fields = {"csrf": customer.csrf(), "1": "1", **{f"1.{name}": answer for name, answer in WHOLE.items()}}
    happens(order)
    before = one("SELECT count(*) FROM order_event")
    answer = customer.post(customer.form, data=fields)
    assert answer.status_code == 409
    assert sentence in answer.text and "没有任何改变" in answer.text
    assert line_of(order).answers == {}
    assert one("SELECT count(*) FROM order_event") == before
    # and the page itself says so, and has no button
    page = customer.get(customer.form).text
    assert sentence in page and "<button" not in page and "柯基犬" in page


def test_a_form_of_another_page_changes_nothing(portal: Portal) -> None:
    order = asked()
    customer = Customer(portal, order)
    fields = {"1": "1", **{f"1.{name}": answer for name, answer in WHOLE.items()}}
    assert customer.post(customer.form, data=fields).status_code == 403
    assert customer.post(customer.form, data={**fields, "csrf": "0" * 64}).status_code == 403
    other = customer.post(
        customer.form, data={**fields, "csrf": customer.csrf()}, headers={"Origin": "https://evil.example"}
    )
    assert other.status_code == 403
    assert line_of(order).answers == {}


def test_links_that_lead_nowhere_are_all_alike_and_guessing_is_slowed_down(portal: Portal) -> None:
    with httpx.Client(base_url=portal.public, trust_env=False) as stranger:
        told = [stranger.get(f"/o/{'A' * 20}{number:04d}/form") for number in range(30)]
    assert {answer.status_code for answer in told} == {404, 429}
    assert all(GONE in answer.text for answer in told if answer.status_code == 404)


def test_an_expired_link_shows_nothing_and_being_asked_again_renews_it(portal: Portal) -> None:
    order = asked()
    customer = Customer(portal, order)
    committed(lambda s: s.connection().exec_driver_sql("UPDATE customer_link SET until = now() - interval '1 day'"))
    assert customer.get(customer.form).status_code == 404
    assert Customer(portal, order).form == customer.form
    assert customer.get(customer.form).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"1": "1"},
        {"1": "1", "1.species": "\x00" * 50, "1.weight_kg": "9" * 3000, "1.allergens.-other": "、" * 3000},
        {"1": "1", "1.breed": "../../etc", "1.birth_date": "0000-00-00", "1.unknown": "x", "99.species": "dog"},
        {"2": "1", "2.species": "dog"},
        {},
    ],
)
def test_odd_forms_are_answered_and_change_nothing(portal: Portal, fields: dict[str, str]) -> None:
    order = asked()
    customer = Customer(portal, order)
    answer = customer.post(customer.form, data={"csrf": customer.csrf(), **fields})
    assert answer.status_code == 422
    assert line_of(order).answers == {}
    assert open_codes(order) == [INCOMPLETE]


def test_staff_fill_in_the_same_form_under_their_own_name(portal: Portal) -> None:
    order = asked()
    fields = {"1": "1", **{f"1.{name}": answer for name, answer in WHOLE.items()}}
    with signed_in(portal, "林客服", "customer_service") as person:
        page = person.get("/orders/SH-1001").text
        assert "代客户填写宠物档案" in page and "/form</code>" in page
        wrong = person.send_form("/orders/SH-1001/form", "/orders/SH-1001/form", **{**fields, "1.weight_kg": "80"})
        assert wrong.status_code == 422
        assert errors(wrong.text) == ["体重 80 kg 对柯基犬不合理,请填 2 到 20 kg 之间"]
        saved = person.send_form("/orders/SH-1001/form", "/orders/SH-1001/form", **fields)
        assert (saved.status_code, saved.headers["location"]) == (303, "/orders/SH-1001")
        assert person.get("/orders/NO-1/form").status_code == 404
    assert open_codes(order) == []
    (event,) = order.events(EventKind.PROFILE_FILLED)
    assert event.actor == "林客服"


def test_who_may_not_fill_it_in_may_only_look(portal: Portal) -> None:
    order = asked()
    with signed_in(portal, "审计", "auditor") as person:
        assert "柯基犬" in person.get("/orders/SH-1001/form").text
        csrf = person.token("/orders/SH-1001")
        assert person.post("/orders/SH-1001/form", data={"csrf": csrf, "1": "1"}).status_code == 403
    assert line_of(order).answers == {}


def test_a_reviewers_question_is_shown_and_answered_here(portal: Portal) -> None:
    order = paid(an_order_of(stage="reserved"))
    committed(lambda s: s.connection().exec_driver_sql("UPDATE fulfilment_line SET recipe = 'dog-duck'"))
    with_hold(order, "reviewer_asks_7", "审核人要求补充:请核对体重")
    customer = Customer(portal, order)
    assert "审核人要求补充:请核对体重" in customer.get(customer.form).text
    assert customer.fills(**{**WHOLE, "weight_kg": "12"}).status_code == 303
    assert open_codes(order) == []
    assert one("SELECT recipe FROM fulfilment_line") is None
    assert one("SELECT count(*) FROM order_change WHERE state = 'asked' AND grew") == 1
