"""Coupons of the Shopify channel against the played platform, over HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from integrations.channels.coupons import CouponWish
from integrations.channels.shopify import Shopify
from integrations.channels.shopify_coupons import ShopifyCoupons
from integrations.errors import Later, Refused, Unclear
from tests.integrations.sandbox_server import NOON, Running, sandbox

WISH = CouponWish("SORRY-8F2K", 2000, 5000, NOON, NOON + timedelta(days=30), "缺货补偿 R-1")


def desk(running: Running, timeout: float = 5.0) -> ShopifyCoupons:
    return ShopifyCoupons(Shopify(running.settings.shopify, running.client, timeout=timeout))


async def test_coupon_is_made_once_and_found_by_its_code(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        coupons = desk(running)
        request = coupons.coupon_request(WISH)
        assert request == coupons.coupon_request(WISH)
        assert await coupons.find_coupon(request) is None

        made = await coupons.make_coupon(request)

        assert made == await coupons.find_coupon(request)
        assert made["id"].startswith("gid://shopify/DiscountCodeNode/")
        coupon = made["codeDiscount"]
        assert coupon["codes"]["nodes"] == [{"code": "SORRY-8F2K"}]
        assert coupon["customerGets"]["value"]["amount"] == {"amount": "20.00", "currencyCode": "CNY"}
        assert (coupon["usageLimit"], coupon["startsAt"], coupon["endsAt"]) == (
            1,
            "2026-11-01T04:00:00Z",
            "2026-12-01T04:00:00Z",
        )
        assert running.world.effects("shopify", "discountCodeBasicCreate") == {"SORRY-8F2K": 1}


async def test_least_order_is_asked_for_only_where_there_is_one(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        coupons = desk(running)
        with_least = json.loads(coupons.coupon_request(WISH))["variables"]["coupon"]
        without = json.loads(coupons.coupon_request(replace(WISH, least_order_fen=0)))["variables"]["coupon"]

        assert with_least["minimumRequirement"] == {"subtotal": {"greaterThanOrEqualToSubtotal": "50.00"}}
        assert "minimumRequirement" not in without


async def test_coupon_made_twice_is_one_coupon(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        coupons = desk(running)
        request = coupons.coupon_request(WISH)

        assert await coupons.make_coupon(request) == await coupons.make_coupon(request)

        [counted] = running.world.counts()
        assert (counted["deliveries"], counted["effects"]) == (2, 1)


async def test_coupon_that_may_have_been_made_is_found(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        coupons = desk(running, timeout=0.5)
        request = coupons.coupon_request(WISH)
        running.world.set_fault("shopify", "discountCodeBasicCreate", "timeout_after", detail={"seconds": 5})

        with pytest.raises(Unclear):
            await coupons.make_coupon(request)

        assert await coupons.find_coupon(request) is not None
        assert running.world.effects("shopify", "discountCodeBasicCreate") == {"SORRY-8F2K": 1}


async def test_code_of_another_coupon_is_not_taken_for_ours(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        coupons = desk(running)
        await coupons.make_coupon(coupons.coupon_request(replace(WISH, title="双十一", code="sorry-8f2k")))
        dearer = coupons.coupon_request(replace(WISH, value_fen=9900))

        for request in (coupons.coupon_request(WISH), dearer):
            assert await coupons.find_coupon(request) is None
            with pytest.raises(Refused) as caught:
                await coupons.make_coupon(request)
            assert caught.value.code == "TAKEN"

        assert running.world.size("shopify.coupon") == 1


async def test_coupon_that_cannot_be_is_refused_and_a_throttled_one_waits(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        coupons = desk(running)
        for wrong, code in [
            (replace(WISH, ends_at=NOON), "END_DATE_BEFORE_START_DATE"),
            (replace(WISH, value_fen=0), "GREATER_THAN"),
        ]:
            with pytest.raises(Refused) as caught:
                await coupons.make_coupon(coupons.coupon_request(wrong))
            assert caught.value.code == code
        running.world.set_fault("shopify", "discountCodeBasicCreate", "throttled")

        with pytest.raises(Later):
            await coupons.make_coupon(coupons.coupon_request(WISH))

        assert running.world.effects("shopify", "discountCodeBasicCreate") == {"SORRY-8F2K": 0}
