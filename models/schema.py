"""Every table, imported once, so that `metadata` knows the whole schema."""

from __future__ import annotations

from sqlmodel import SQLModel

from models import (  # noqa: F401
    backorder,
    change,
    channel_stock,
    compensation,
    correction,
    coupon,
    customer_link,
    effect,
    fulfilment,
    hint,
    hold,
    lane,
    notification,
    order,
    order_sheet,
    parcel,
    pool,
    product,
    production,
    production_batch,
    quarantine,
    refund,
    reservation,
    review,
    rule_version,
    ruling,
    shadow,
    shared_parcel,
    staff,
    stock,
    stock_check,
    stock_count,
    stock_setting,
    timeline,
    validation,
    warehouse,
    window,
)

metadata = SQLModel.metadata
