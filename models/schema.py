"""Every table, imported once, so that `metadata` knows the whole schema."""

from __future__ import annotations

from sqlmodel import SQLModel

from models import (  # noqa: F401
    effect,
    fulfilment,
    hold,
    lane,
    notification,
    order,
    parcel,
    product,
    production,
    quarantine,
    recipe,
    review,
    staff,
    stock,
    timeline,
    window,
)

metadata = SQLModel.metadata
