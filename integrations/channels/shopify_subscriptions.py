"""Having Shopify push: one webhook subscription a topic, made where there is none yet."""

from __future__ import annotations

from typing import Any

from integrations.channels import shopify_queries as queries
from integrations.channels.payload import mapping, mappings, text, understood
from integrations.channels.shopify_graphql import NAME, GraphQL, request_body
from integrations.channels.shopify_push import TOPICS
from integrations.errors import Refused

A_PAGE = 100


async def subscribe(graphql: GraphQL, uri: str) -> list[str]:
    """Make sure that every topic of `shopify_push.TOPICS` is sent to `uri`; the topics that were not before.

    Told twice, or by two at once, nothing is made twice. Subscriptions of the app's own configuration file are not
    listed by Shopify: with those, a topic comes twice, and is known by its event id. `Refused` for an address that
    Shopify does not take.
    """
    known = await _sent_to(graphql, uri)
    made = []
    for topic in TOPICS:
        if topic not in known and await _create(graphql, topic, uri):
            made.append(topic)
    return made


async def _sent_to(graphql: GraphQL, uri: str) -> set[str]:
    """The topics that are sent to this address."""
    found: set[str] = set()
    after: str | None = None
    more = True
    while more:
        body = request_body(queries.SUBSCRIPTIONS, "webhookSubscriptions", {"first": A_PAGE, "after": after})
        data = await graphql.send(body)
        with understood(NAME):
            page = mapping(data.get("webhookSubscriptions"), "webhookSubscriptions")
            info = mapping(page.get("pageInfo"), "pageInfo")
            for node in mappings(page.get("nodes"), "webhookSubscriptions"):
                if node.get("uri") == uri:
                    found.add(_topic_of(text(node.get("topic"), "topic")))
        after, more = info.get("endCursor"), info.get("hasNextPage") is True
    return found


async def _create(graphql: GraphQL, topic: str, uri: str) -> bool:
    """Subscribe to one topic; False when somebody else was quicker."""
    variables: dict[str, Any] = {"topic": _name_of(topic), "subscription": {"uri": uri, "format": "JSON"}}
    data = await graphql.send(request_body(queries.SUBSCRIPTION_CREATE, "webhookSubscriptionCreate", variables))
    with understood(NAME):
        result = mapping(data.get("webhookSubscriptionCreate"), "webhookSubscriptionCreate")
        errors = mappings(result.get("userErrors"), "userErrors")
        said = "; ".join(text(error.get("message"), "message") for error in errors)
    if errors and topic not in await _sent_to(graphql, uri):
        raise Refused(NAME, "user_error", f"Shopify 没有建立 {topic} 的推送,请核对地址 {uri} 和应用权限:{said}")
    return not errors


def _name_of(topic: str) -> str:
    """ORDERS_PAID of "orders/paid"."""
    return topic.replace("/", "_").upper()


def _topic_of(name: str) -> str:
    """The topic of TOPICS that the schema calls by this name; another one as it is."""
    return next((topic for topic in TOPICS if _name_of(topic) == name), name)
