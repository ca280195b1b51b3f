"""One address, a signed form, an operation by name: how TOP, JD and Pinduoduo are asked, played once for the three.

The signature is checked over the fields as they came, the timestamp against the clock, the token against the shop's.

Faults that each of them has: `throttled`, `busy` (the service behind failed), `busy_after`, `session_expired`, and
where the platform's code is known `no_permission`; on listings those of `paging`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from integrations.channels.md5_signing import SignMethod, sign
from integrations.channels.payload import Unparsable
from integrations.sandbox.faults import play
from integrations.sandbox.listing_lag import hidden
from integrations.sandbox.paging import another_number
from integrations.sandbox.world import World

Form = dict[str, str]
Operation = Callable[[World, dict[str, Any]], dict[str, Any]]


class Failed(Exception):
    """A call that the platform refuses, in its own codes."""

    def __init__(self, code: int, sub_code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.sub_code = sub_code


@dataclass(frozen=True)
class Refusals:
    """What the platform says when a call does not get as far as its operation."""

    missing: Failed
    app: Failed
    signature: Failed
    clock: Failed
    token: Failed
    method: Failed
    params: Failed
    throttled: Failed
    busy: Failed
    forbidden: Failed | None = None


@dataclass(frozen=True)
class Gate:
    """One platform. `names` are those of the parameters method, app key and token; `known` what the last two are."""

    platform: str
    path: str
    names: tuple[str, str, str]
    known: tuple[str, str]
    secret: str
    clock: Callable[[str], float]  # the timestamp as epoch seconds; `ValueError` when it is none
    clock_seconds: float
    refusals: Refusals
    business: Callable[[Form], dict[str, Any]]
    operations: Mapping[str, Operation]
    page: str  # the parameter of its listings that counts pages from 1
    answered: Callable[[str, dict[str, Any]], dict[str, Any]]
    refused: Callable[[str, Failed], dict[str, Any]]

    def routes(self, world: World) -> list[BaseRoute]:
        """The one route of the platform."""

        async def asked(request: Request) -> Response:
            form = dict(parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True))
            method = form.get(self.names[0], "")
            try:
                self._check(form, world.now().timestamp())
            except Failed as failed:
                return JSONResponse(self.refused(method, failed))
            fault = world.fault(self.platform, method)

            def act() -> Response:
                return JSONResponse(self._acted(world, method, form, fault.kind if fault else ""))

            return await play(request, fault, act)

        return [Route(self.path, asked, methods=["POST"])]

    def _check(self, form: Form, now: float) -> None:
        """The call is signed by the app, now (epoch seconds)."""
        if any(not form.get(name) for name in (*self.names, "timestamp", "sign")):
            raise self.refusals.missing
        if form[self.names[1]] != self.known[0]:
            raise self.refusals.app
        wanted = sign(form, self.secret, _method_of(form))
        if not hmac.compare_digest(wanted.encode(), form["sign"].encode()):
            raise self.refusals.signature
        try:
            off = abs(now - self.clock(form["timestamp"]))
        except ValueError as error:
            raise self.refusals.clock from error
        if off > self.clock_seconds:
            raise self.refusals.clock

    def _acted(self, world: World, method: str, form: Form, fault: str) -> dict[str, Any]:
        try:
            if fault == "throttled":
                raise self.refusals.throttled
            if fault == "busy":
                raise self.refusals.busy
            if fault == "no_permission" and self.refusals.forbidden:
                raise self.refusals.forbidden
            if fault == "session_expired" or form[self.names[2]] != self.known[1]:
                raise self.refusals.token
            if method not in self.operations:
                raise self.refusals.method
            with world.transaction():
                try:
                    data: dict[str, Any] | Failed = self.operations[method](
                        world, another_number(fault, self.business(form), self.page, 1)
                    )
                except Failed as failed:  # a refusal is journalled too
                    data = failed
            if isinstance(data, Failed):
                raise data
            if fault == "busy_after":
                raise self.refusals.busy
            return self.answered(method, data)
        except Failed as failed:
            return self.refused(method, failed)
        except (Unparsable, KeyError, TypeError, ValueError, AttributeError):
            return self.refused(method, self.refusals.params)


def listed(
    world: World, kind: str, orders: list[dict[str, Any]], id_key: str, page: int, size: int
) -> tuple[list[dict[str, Any]], int]:
    """One page (the first is 1) of these orders, and how many there are; the index may lag behind."""
    late = hidden(world, kind)
    here = [order for order in orders if str(order[id_key]) not in late]
    counted = sum(late.get(str(order[id_key]), True) for order in orders)
    return here[(page - 1) * size : page * size], counted


def seen(order: dict[str, Any]) -> dict[str, Any]:
    """The order as callers see it: fields that begin with `_` never leave the platform."""
    return {name: value for name, value in order.items() if not name.startswith("_")}


def _method_of(form: Form) -> SignMethod:
    found = form.get("sign_method", "md5")
    return "hmac" if found == "hmac" else "hmac-sha256" if found == "hmac-sha256" else "md5"
