"""Whether a decision table is fit to decide: everything that is wrong with it, in sentences."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something wrong with rules: where it is, and why it cannot stay; for the person who wrote them."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}:{self.why}"
