"""Every staff page of a shadow says that nothing is sent; a customer's page says nothing of it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from models.effect import WAYBILL, Attempt, begin, on_paper
from models.privacy import seal
from tests.integrations.portal_server import Portal, an_order_of, committed, now, running_portal, signed_in

BANNER = "影子模式:不向外发送任何东西"
PAGES = ("/", "/orders/SH-1001", "/reviews", "/stock-checks", "/compensations", "/stock", "/quarantine", "/help")


@pytest.fixture(params=["true", "false"])
def portal(request: pytest.FixtureRequest, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    """In shadow, and live."""
    monkeypatch.setenv("ORDERLOOM_SHADOW", request.param)
    with running_portal(database_url, monkeypatch) as running:
        yield running


def test_every_staff_page_says_that_it_is_a_shadow_and_no_customers_page_does(
    portal: Portal, request: pytest.FixtureRequest
) -> None:
    order = an_order_of("SH-1001")

    def tell_on_paper(session: object) -> None:
        begun = begin(session, WAYBILL, "waybill-SH-1001-1", seal("{}"), now(), order_id=order.order_id)  # type: ignore[arg-type]
        assert isinstance(begun, Attempt)
        on_paper(session, begun, {"waybill_no": "SHADOW-1"}, now())  # type: ignore[arg-type]

    committed(tell_on_paper)
    in_shadow = request.node.callspec.params["portal"] == "true"
    with signed_in(portal) as browser:
        for page in (*PAGES, "/no-such-page"):
            assert (BANNER in browser.get(page).text) is in_shadow, page
        assert "影子:本应发出" in browser.get("/orders/SH-1001").text
    with httpx.Client(trust_env=False) as visitor:
        assert (BANNER in visitor.get(f"{portal.staff}/sign-in").text) is in_shadow
        assert BANNER not in visitor.get(f"{portal.public}/t/nobody-knows-this").text
