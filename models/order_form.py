"""The order form: the questions about a pet that a made-to-order line is asked by, as a JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class OrderForm:
    """One version of the form."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        """`body` is `{"schema": JSON Schema 2020-12}`."""
        self.schema = dict(body["schema"])
