"""The order form on a phone, in a real browser: choices follow choices; a wrong weight is named, corrected, saved."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlmodel import Session, select

from models.customer_link import token_for
from models.form_desk import ask, pets_of
from models.hold import open_holds
from models.order import OrderLine
from tests.chromium import Page, browser
from tests.integrations.portal_money import paid
from tests.integrations.portal_server import Portal, Seeded, an_order_of, committed, now, running_portal

PHONE = (390, 844)
_BUTTONS_AND_FIELDS = "button, a.button, .pick, select, textarea, input:not([type=hidden]):not([type=radio])"
#: What a finger could miss: everything to press or type into that is lower than 44 pixels.
TOO_SMALL = f"""
[...document.querySelectorAll("{_BUTTONS_AND_FIELDS}:not([type=checkbox])")]
  .filter(each => each.getBoundingClientRect().height && each.getBoundingClientRect().height < 44)
  .map(each => each.outerHTML.slice(0, 80))
"""
BREEDS = 'document.querySelector("[data-name=breed] select").options.length'
RANGE = 'document.querySelector("[data-name=weight_kg] [data-range]").textContent'


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        yield running


@pytest.fixture
async def phone(tmp_path: Path) -> AsyncIterator[Page]:
    async with browser(tmp_path, *PHONE) as page:
        yield page


def asked() -> tuple[Seeded, str]:
    """An order whose form is empty but for a species, and its customer's link."""
    order = paid(an_order_of())

    def work(session: Session) -> str:
        line = session.exec(select(OrderLine)).one()
        line.profile = {"species": "狗"}
        session.add(line)
        session.flush()
        (pet,) = pets_of(session, order.order, now())
        ask(session, order.order, pet.line, pet.result, now())
        return token_for(session, order.order_id, now())

    return order, committed(work)


async def press(page: Page, field: str, value: str) -> None:
    """Press the chip with this words in this field."""
    await page.click(f"[data-name={field}] .pick", value)


async def choose(page: Page, field: str, code: str) -> None:
    """Choose from a list, which a browser without a window does not open."""
    await page.evaluate(
        f'(list => {{ list.value = "{code}"; list.dispatchEvent(new Event("change", {{bubbles: true}})) }})'
        f'(document.querySelector("[data-name={field}] select"))'
    )


async def keep_picture(page: Page, name: str) -> None:
    """The whole page as a picture, where somebody wants to look at it (`ORDERLOOM_PICTURES`)."""
    if directory := os.environ.get("ORDERLOOM_PICTURES"):
        height = await page.evaluate("document.documentElement.scrollHeight")
        await page.size(PHONE[0], height)
        await page.screenshot(Path(directory) / name)
        await page.size(*PHONE)


async def test_a_customer_fills_it_in_on_a_phone(portal: Portal, phone: Page) -> None:
    order, token = asked()
    await phone.open(f"{portal.public}/o/{token}/form?lang=zh")
    await phone.sees("填写宠物档案")
    # it fits the screen, and every target is large enough
    assert await phone.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    assert await phone.evaluate(TOO_SMALL) == []
    # breeds are those of the species, and the range is that of the breed
    assert await phone.evaluate(BREEDS) == 1 + 21 + 1
    assert await phone.evaluate(RANGE) == "0.3 到 100 kg"
    await press(phone, "species", "猫")
    assert await phone.evaluate(BREEDS) == 1 + 16 + 1
    assert await phone.evaluate(RANGE) == "0.3 到 15 kg"
    await press(phone, "species", "狗")
    await choose(phone, "breed", "chihuahua")
    assert await phone.evaluate(RANGE) == "1 到 6 kg"
    # "none" goes with nothing else
    await press(phone, "allergens", "没有")
    await press(phone, "allergens", "鸡肉")
    assert await phone.evaluate('document.querySelector("[data-none]").checked') is False
    # a weight that cannot be is named at its field, and what was typed stays
    await phone.fill("[data-name=weight_kg] input", "80")
    await press(phone, "staple_preference", "湿粮")
    await phone.fill("[data-name=birth_date] input", "3岁")
    await phone.fill("[data-name=health_notes] textarea", "换粮易软便")
    await phone.click("button", "保存")
    await phone.sees("体重 80 kg 对吉娃娃不合理,请填 1 到 6 kg 之间")
    assert await phone.evaluate('document.querySelector("[data-name=weight_kg] input").value') == "80"
    assert await phone.evaluate('document.querySelector("[data-name=breed] select").value') == "chihuahua"
    assert await phone.evaluate('document.querySelector("[data-name=birth_date] input").value') == "3岁"
    assert await phone.evaluate('document.querySelector("[data-name=health_notes] textarea").value') == "换粮易软便"
    await keep_picture(phone, "form.png")
    # corrected, it is saved, and the order goes on
    await phone.evaluate('document.querySelector("[data-name=weight_kg] input").value = ""')
    await phone.fill("[data-name=weight_kg] input", "5斤")
    await phone.click("button", "保存")
    await phone.sees("已保存,谢谢")
    await phone.sees("2.5 kg")
    await keep_picture(phone, "form-saved.png")
    answers = committed(lambda s: s.exec(select(OrderLine)).one()).answers
    assert {name: answers[name] for name in ("breed", "weight_kg", "allergens")} == {
        "breed": "chihuahua", "weight_kg": 2.5, "allergens": ["chicken"],
    }  # fmt: skip
    assert committed(lambda s: open_holds(s, order.order_id)) == []
    assert phone.problems == []


async def test_it_works_without_a_script(portal: Portal, phone: Page) -> None:
    _, token = asked()
    await phone.call("Emulation.setScriptExecutionDisabled", value=True)
    await phone.open(f"{portal.public}/o/{token}/form?lang=en")
    await phone.sees("Pet profile")
    # all breeds are there, under the species that they belong to
    assert await phone.evaluate(BREEDS) == 1 + 21 + 16 + 1
    assert await phone.evaluate('[...document.querySelectorAll("optgroup")].map(each => each.label)') == ["dog", "cat"]
    await press(phone, "species", "cat")
    await phone.fill("[data-name=weight_kg] input", "4.2 kg")
    await press(phone, "staple_preference", "dry")
    await press(phone, "allergens", "none")
    await keep_picture(phone, "form-en.png")
    await phone.click("button", "Save")
    await phone.sees("Saved, thank you")
    answers = committed(lambda s: s.exec(select(OrderLine)).one()).answers
    assert (answers["species"], answers["weight_kg"], answers["allergens"]) == ("cat", 4.2, [])
