"""The staff application: the board, orders, reviews, stock checks, money and quarantine, for people with an account."""

from __future__ import annotations

from collections.abc import Collection

from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from integrations.portal import (
    board_page,
    compensation_actions,
    compensations_page,
    form_page,
    help_page,
    import_pages,
    intake_page,
    order_actions,
    order_detail,
    parcel_actions,
    production_page,
    quarantine_page,
    review_pages,
    stock_check_page,
    stock_pages,
)
from integrations.portal.guard import Guard
from integrations.portal.rendering import HERE, answer_errors
from integrations.portal.sign_in import SignIn, sign_out

#: The names that the staff pages are known by; any other Host header is refused.
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def make_staff(hosts: Collection[str] = LOOPBACK) -> ASGIApp:
    """The application for staff, on these host names only."""
    signing_in = SignIn()
    app = Starlette(
        routes=[
            Route("/sign-in", signing_in.show, methods=["GET"]),
            Route("/sign-in", signing_in.take, methods=["POST"]),
            Route("/sign-out", sign_out, methods=["POST"]),
            Route("/", board_page.board, methods=["GET"]),
            Route("/orders/{order_no}", order_detail.order, methods=["GET"]),
            Route("/orders/{order_no}/wake", order_actions.look_now, methods=["POST"]),
            Route("/orders/{order_no}/form", form_page.staff_form, methods=["GET"]),
            Route("/orders/{order_no}/form", form_page.staff_saves_form, methods=["POST"]),
            Route("/orders/{order_no}/cancel", order_actions.cancel, methods=["POST"]),
            Route("/orders/{order_no}/release", order_actions.release_hold, methods=["POST"]),
            Route("/orders/{order_no}/compensation/decide", compensation_actions.decide, methods=["POST"]),
            Route("/orders/{order_no}/compensation/again", compensation_actions.again, methods=["POST"]),
            Route("/orders/{order_no}/compensate", compensation_actions.by_hand, methods=["POST"]),
            Route("/orders/{order_no}/refunds/settle", compensation_actions.settle, methods=["POST"]),
            Route("/orders/{order_no}/split", parcel_actions.split, methods=["POST"]),
            Route("/orders/{order_no}/join", parcel_actions.put_back, methods=["POST"]),
            Route("/orders/{order_no}/merge", parcel_actions.merge, methods=["POST"]),
            Route("/orders/{order_no}/unmerge", parcel_actions.unmerge, methods=["POST"]),
            Route("/compensations", compensations_page.compensations, methods=["GET"]),
            Route("/reviews", review_pages.reviews, methods=["GET"]),
            Route("/reviews/{case_id:int}", review_pages.decide, methods=["POST"]),
            Route("/stock-checks", stock_check_page.stock_checks, methods=["GET"]),
            Route("/stock-checks/{check_id:int}", stock_check_page.answer, methods=["POST"]),
            *production_page.ROUTES,
            *stock_pages.ROUTES,
            *intake_page.ROUTES,
            *quarantine_page.ROUTES,
            *import_pages.ROUTES,
            Route("/help", help_page.explain_words, methods=["GET"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]
    )
    answer_errors(app, home="/")
    return Guard(app, hosts)
