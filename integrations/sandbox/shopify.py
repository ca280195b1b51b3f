"""Shopify's Admin GraphQL API, played for one shop (PROTOCOLS.md §1).

Operations are known by name and held to their variables; there is no GraphQL engine behind them. Tokens, the cost
bucket, cursors that survive moving orders, and `userErrors` are as the platform has them. There is no key on
`fulfillmentCreate`: a repeat ships what is left once more, and the journal shows it.

Mutations that must carry `@idempotent` are refused without it.

Faults of its own: `throttled` (`detail.seconds`), `token_expired`, `internal_error`, `idempotency_concurrent`,
`at_least` on `ordersCount`, and on `orders` those of `paging`. Queries that the cost bucket turns away are counted in
the journal as `throttled`.
"""

from __future__ import annotations

import json
import re
import secrets
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from integrations.sandbox import shopify_coupons, shopify_refunds, shopify_stock, shopify_webhooks
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.faults import play
from integrations.sandbox.paging import behind_another
from integrations.sandbox.shopify_operations import (
    MUTATIONS,
    OPERATIONS,
    PLATFORM,
    Invalid,
    Operation,
    granted_scopes,
)
from integrations.sandbox.world import World

TOKEN = "shopify.access_token"
BUCKET = "shopify.bucket"
#: The shop's plan; a Plus shop unless a test writes another document.
PLAN = "shopify.plan"
PLUS = {"maximum": 20_000.0, "restore": 1000.0}
DEAREST_QUERY = 1000
TOKEN_SECONDS = 86_399

#: What the shop can be asked, and what of it changes something.
KNOWN: dict[str, Operation] = {
    **OPERATIONS,
    **shopify_refunds.OPERATIONS,
    **shopify_coupons.OPERATIONS,
    **shopify_stock.OPERATIONS,
    **shopify_webhooks.OPERATIONS,
}
CHANGES = MUTATIONS.union(
    *(part.MUTATIONS for part in (shopify_refunds, shopify_coupons, shopify_stock, shopify_webhooks))
)
#: Changes whose field must carry `@idempotent(key: $key)` (mandatory since 2026-04).
IDEMPOTENT = {"refundCreate", "inventorySetQuantities"}

_VERSION = re.compile(r"20\d\d-(01|04|07|10)")
_DOCUMENT = re.compile(r"\s*(query|mutation)\s+(\w+)\s*(?:\(([^)]*)\))?")
_VARIABLE = re.compile(r"\$(\w+):\s*(\w+)(!?)")


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """`/admin/oauth/access_token` and `/admin/api/{version}/graphql.json`."""

    async def access_token(request: Request) -> Response:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}

        def act() -> Response:
            if form.get("grant_type") != "client_credentials":
                return JSONResponse({"error": "unsupported_grant_type"}, 400)
            if (form.get("client_id"), form.get("client_secret")) != (
                credentials.shopify_client_id,
                credentials.shopify_client_secret,
            ):
                return JSONResponse({"error": "invalid_client"}, 401)
            token = "shpat_" + secrets.token_hex(16)
            with world.transaction():
                world.put(TOKEN, token, {"until": world.now().timestamp() + TOKEN_SECONDS})
            granted = {"access_token": token, "scope": ",".join(granted_scopes(world))}
            return JSONResponse({**granted, "expires_in": TOKEN_SECONDS})

        return await play(request, world.fault(PLATFORM, "access_token"), act)

    async def graphql(request: Request) -> Response:
        if not _VERSION.fullmatch(request.path_params["version"]):
            return JSONResponse({"errors": "Not Found"}, 404)
        token = request.headers.get("x-shopify-access-token", "")
        with world.transaction():
            known = token == credentials.shopify_token or _alive(world, token)
        if not known:
            return _unauthorized()
        try:
            asked = json.loads(await request.body())
            operation, variables = _checked(asked)
        except Invalid as error:
            return JSONResponse({"errors": [_shown(error)]})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return JSONResponse({"errors": "[API] the body is no GraphQL request"}, 400)
        fault = world.fault(PLATFORM, operation)

        def act() -> Response:
            with world.transaction():
                match fault.kind if fault else None:
                    case "token_expired":
                        world.put(TOKEN, token, {"until": 0})
                        return _unauthorized()
                    case "throttled" if fault:
                        status = {"maximumAvailable": 2000.0, "restoreRate": 100.0}
                        lacking = 100.0 * float(fault.detail.get("seconds", 1.0))
                        return _throttled(752, {**status, "currentlyAvailable": 752 - lacking})
                    case "idempotency_concurrent":
                        message = "This request is currently in progress, please try again."
                        return JSONResponse({"errors": [_shown(Invalid(message, "IDEMPOTENCY_CONCURRENT_REQUEST"))]})
                    case "at_least":
                        return JSONResponse({"data": {"ordersCount": {"count": 1, "precision": "AT_LEAST"}}})
                    case "internal_error":
                        message = "Internal error. Looks like something went wrong on our end."
                        return JSONResponse({"errors": [_shown(Invalid(message, "INTERNAL_SERVER_ERROR"))]})
                kind = fault.kind if fault and operation == "orders" else ""
                return _answered(world, operation, behind_another(kind, variables, "after", partial(_next, world)))

        return await play(request, fault, act)

    return [
        Route("/admin/oauth/access_token", access_token, methods=["POST"]),
        Route("/admin/api/{version}/graphql.json", graphql, methods=["POST"]),
    ]


def _next(world: World, variables: dict[str, Any]) -> str | None:
    """The cursor behind the page of orders that these variables ask for."""
    info = OPERATIONS["orders"](world, variables)["orders"]["pageInfo"]
    return str(info["endCursor"]) if info["hasNextPage"] else None


def _alive(world: World, token: str) -> bool:
    known = world.get(TOKEN, token)
    return known is not None and known["until"] > world.now().timestamp()


def _unauthorized() -> Response:
    message = "[API] Invalid API key or access token (unrecognized login or wrong password)"
    return JSONResponse({"errors": message}, 401)


def _shown(error: Invalid) -> dict[str, Any]:
    return {"message": str(error)} | ({"extensions": {"code": error.code}} if error.code else {})


def _checked(asked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The operation and its variables, which must be those that its document declares."""
    match = _DOCUMENT.match(asked["query"])
    if match is None or match[2] != asked["operationName"]:
        raise Invalid(f'No operation named "{asked["operationName"]}"')
    if match[2] not in KNOWN or (match[1] == "mutation") != (match[2] in CHANGES):
        raise Invalid(f"Field '{match[2]}' doesn't exist on type 'QueryRoot'", "undefinedField")
    directive = rf"\b{match[2]}\([^)]*\)\s*@idempotent\(key:\s*\$key\)"
    if match[2] in IDEMPOTENT and not re.search(directive, asked["query"]):
        raise Invalid("The @idempotent directive is required for this mutation but was not provided.", "BAD_REQUEST")
    variables = asked.get("variables") or {}
    declared = {name: (kind, needed) for name, kind, needed in _VARIABLE.findall(match[3] or "")}
    if unknown := variables.keys() - declared.keys():
        raise Invalid(f"Variable ${min(unknown)} is not declared")
    kinds = {"Int": int, "String": str, "ID": str, "WebhookSubscriptionTopic": str}
    for name, (kind, needed) in declared.items():
        value = variables.get(name)
        if (value is None and needed) or (value is not None and not isinstance(value, kinds.get(kind, dict))):
            raise Invalid(f"Variable ${name} of type {kind}{needed} was provided invalid value", "INVALID_VARIABLE")
    return match[2], variables


def _answered(world: World, operation: str, variables: dict[str, Any]) -> Response:
    """The answer within the cost bucket: the requested cost must fit, the actual one is taken."""
    plan = world.get(PLAN, "") or PLUS
    now = world.now().timestamp()
    bucket = world.get(BUCKET, "") or {"available": plan["maximum"], "at": now}
    passed = max(0.0, now - bucket["at"])  # the clock may have been put back
    available = min(plan["maximum"], bucket["available"] + passed * plan["restore"])
    requested = _requested_cost(operation, variables)
    status = {"maximumAvailable": plan["maximum"], "restoreRate": plan["restore"]}
    if requested > DEAREST_QUERY:
        message = f"Query cost is {requested}, which exceeds the single query max cost limit"
        return JSONResponse({"errors": [_shown(Invalid(message, "MAX_COST_EXCEEDED"))]})
    if requested > available:
        world.count(PLATFORM, "throttled", operation, took_effect=False)
        return _throttled(requested, {**status, "currentlyAvailable": round(available)})
    try:
        data = KNOWN[operation](world, variables)
    except Invalid as error:
        return JSONResponse({"errors": [_shown(error)]})
    rows = len(data["orders"]["nodes"]) if operation == "orders" else 1
    actual = min(requested, 12 * rows + 2)
    world.put(BUCKET, "", {"available": available - actual, "at": now})
    cost = {"requestedQueryCost": requested, "actualQueryCost": actual}
    throttle = {**status, "currentlyAvailable": round(available - actual)}
    return JSONResponse({"data": data, "extensions": {"cost": {**cost, "throttleStatus": throttle}}})


def _requested_cost(operation: str, variables: dict[str, Any]) -> int:
    """Points: one an object that may come back, nested connections multiplied, 10 a mutation."""
    if operation in CHANGES:
        return 10
    nested = 4 * int(variables.get("lines", 1)) + 10
    return 2 + int(variables.get("first", 1)) * (nested if "lines" in variables else 1)


def _throttled(requested: int, status: dict[str, Any]) -> Response:
    documentation = "https://shopify.dev/api/usage/rate-limits"
    error = {"message": "Throttled", "extensions": {"code": "THROTTLED", "documentation": documentation}}
    cost = {"requestedQueryCost": requested, "actualQueryCost": None, "throttleStatus": status}
    return JSONResponse({"errors": [error], "extensions": {"cost": cost}})
