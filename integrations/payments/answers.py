"""Whether an answer is about what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.channels.payload import Unparsable


def same(answer: Mapping[str, Any], asked: Mapping[str, str]) -> None:
    """`Unparsable` for an answer about something else: a signed answer to another question proves nothing."""
    for name, value in asked.items():
        if answer.get(name) != value:
            raise Unparsable(name, answer.get(name))
