"""The approval matrix: who looks at an order before it goes on, why, and until when; or nobody.

The facts that a row may ask for are these (`FACTS`); what it puts out is a role, a reason and a time in minutes. All
rows that hold count: an order may need two roles, and one role for several reasons. No row: straight through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.decision_table import DecisionTable

#: What a table may ask for, and how people call it. Amounts in yuan, weights in kg.
FACTS = {
    "amount": "金额(元)",
    "channel": "渠道",
    "shop": "店铺",
    "province": "省份",
    "quantity": "件数",
    "made_to_order": "有定制",
    "skus": "商品",
    "species": "物种",
    "recipes": "配方",
    "special": "特殊配方",
    "special_recipes": "特殊配方的名称",
    "ingredients": "食材",
    "allergens": "过敏原",
    "health_notes": "健康备注",
    "no_recipe": "没有配方",
    "why_no_recipe": "为什么没有配方",
    "new_customer": "新客户",
    "address_risk": "地址风险",
}

#: The roles that a row may ask, and how people call them.
ROLES = {
    "nutritionist": "营养师",
    "customer_service_lead": "客服主管",
    "warehouse_supervisor": "仓库主管",
    "production_manager": "生产主管",
    "finance": "财务",
}

#: A row without a time: DOMAIN C.
USUAL_MINUTES = 22


@dataclass(frozen=True)
class Asked:
    """One role that has to look at the order: why, and within how many minutes."""

    role: str
    reasons: tuple[str, ...]
    sla_minutes: int
    rows: tuple[str, ...] = ()


class Matrix:
    """One version of the matrix."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        """`body` is `{"approval": JDM}`. Raises `TableBroken`."""
        self.table = DecisionTable(body["approval"])

    def route(self, facts: Mapping[str, Any]) -> tuple[Asked, ...]:
        """Who looks at an order with these facts, in the order of the rows; empty: straight through.

        The shortest time that any row gives a role is the role's.
        """
        by_role: dict[str, list[tuple[str, str, int]]] = {}
        for match in self.table.matches(facts):
            role = str(match.output.get("role") or "")
            if not role:
                continue  # a row that lets an order pass
            minutes = match.output.get("sla_minutes")
            reason = str(match.output.get("reason") or match.row)
            by_role.setdefault(role, []).append((match.row, reason, int(minutes or USUAL_MINUTES)))
        return tuple(
            Asked(
                role=role,
                reasons=tuple(dict.fromkeys(reason for _, reason, _ in rows)),
                sla_minutes=min(minutes for _, _, minutes in rows),
                rows=tuple(row for row, _, _ in rows),
            )
            for role, rows in by_role.items()
        )


def roles_of(route: Sequence[Asked]) -> tuple[str, ...]:
    """The roles of a route, sorted: what two routes are compared by."""
    return tuple(sorted(asked.role for asked in route))
