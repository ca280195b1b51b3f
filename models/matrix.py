"""The approval matrix: who looks at an order before it goes on, why, and until when; or nobody.

What a row may ask for and put out is in `COLUMNS`: a role, a reason and a time in minutes. All rows that hold count (of
a `first` table, the first one): an order may need two roles, and one role for several reasons. No row: straight
through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.decision_table import Content, DecisionTable, Match, Row, TableBroken, content_of
from models.table_check import Problem, check_table, examine_table
from models.table_column import Kind, TableColumn, TableColumns
from models.wording import CHANNEL_WORDS

#: The roles that a row may ask, and how people call them.
ROLES = {
    "nutritionist": "营养师",
    "customer_service_lead": "客服主管",
    "warehouse_supervisor": "仓库主管",
    "production_manager": "生产主管",
    "finance": "财务",
}

#: A row with this instead of a role lets an order pass, as far as it is concerned.
STRAIGHT = {"直通": "直通", "straight": "直通", "": "直通"}

#: A row without a time: DOMAIN C.
USUAL_MINUTES = 22
#: A week.
MOST_MINUTES = 10_080

#: What a table may ask for and put out. Amounts in yuan. None of these facts is ever null.
COLUMNS = TableColumns(
    facts={
        "amount": TableColumn("金额(元)", Kind.NUMBER, least=0, step=0.01),
        "channel": TableColumn(
            "渠道", Kind.TEXT, {code: names[0] for code, names in CHANNEL_WORDS.items()}, closed=True
        ),
        "shop": TableColumn("店铺", Kind.TEXT),
        "province": TableColumn("省份", Kind.TEXT),
        "quantity": TableColumn("件数", Kind.NUMBER, least=1, step=1),
        "made_to_order": TableColumn("有定制", Kind.YES_NO),
        "skus": TableColumn("商品", Kind.LIST),
        "species": TableColumn("物种", Kind.LIST, {"dog": "犬", "cat": "猫"}),
        "recipes": TableColumn("配方", Kind.LIST),
        "special": TableColumn("特殊配方", Kind.YES_NO),
        "special_recipes": TableColumn("特殊配方的名称", Kind.TEXT),
        "ingredients": TableColumn("食材", Kind.LIST),
        "allergens": TableColumn("过敏原", Kind.LIST),
        "health_notes": TableColumn("健康备注", Kind.TEXT),
        "no_recipe": TableColumn("没有配方", Kind.YES_NO),
        "why_no_recipe": TableColumn("为什么没有配方", Kind.TEXT),
        "new_customer": TableColumn("新客户", Kind.YES_NO),
        "address_risk": TableColumn(
            "地址风险", Kind.TEXT, {"": "无", "masked": "收件人未显示", "incomplete": "地址不全"}, closed=True
        ),
    },
    outputs={
        "role": TableColumn("谁审核", Kind.TEXT, {**ROLES, **STRAIGHT}, closed=True),
        "reason": TableColumn("理由", Kind.TEXT, optional=True),
        "sla_minutes": TableColumn("时限(分钟)", Kind.NUMBER, optional=True, least=1, most=MOST_MINUTES, step=1),
    },
)

#: The facts that a table may ask for, and how people call them.
FACTS = {fact: column.name for fact, column in COLUMNS.facts.items()}


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
        self._table = DecisionTable(_table_in(body))

    def route(self, facts: Mapping[str, Any]) -> tuple[Asked, ...]:
        """Who looks at an order with these facts, in the order of the rows; empty: straight through.

        The shortest time that any row gives a role is the role's. A row that lets an order pass takes away nobody
        whom another row asks. Raises `TableBroken` for a table that cannot tell: then the order must not pass
        (`models.matrix_route.whom_to_ask`).
        """
        by_role: dict[str, list[tuple[str, str, int]]] = {}
        for match in self._table.matches(facts):
            role = _role_of(match)
            if role:
                by_role.setdefault(role, []).append((match.row, _reason_of(match), _minutes_of(match)))
        return tuple(
            Asked(
                role=role,
                reasons=tuple(dict.fromkeys(reason for _, reason, _ in rows)),
                sla_minutes=min(minutes for _, _, minutes in rows),
                rows=tuple(row for row, _, _ in rows),
            )
            for role, rows in by_role.items()
        )


def _table_in(body: object) -> Any:
    table = body.get("approval") if isinstance(body, Mapping) else None
    if table is None:
        raise TableBroken('审批矩阵要写成 {"approval": 决策表}')
    return table


def _role_of(match: Match) -> str:
    """The role that a row asks, "" for none. An unknown one is nobody's to look at, so that nothing passes for it."""
    role = match.output.get("role")
    if not isinstance(role, str) or role not in ROLES.keys() | STRAIGHT.keys():
        raise TableBroken(f"规则「{match.row}」没有写明谁审核,也没有写直通")
    return "" if role in STRAIGHT else role


def _reason_of(match: Match) -> str:
    reason = match.output.get("reason")
    return reason.strip() if isinstance(reason, str) and reason.strip() else f"审批矩阵的规则「{match.row}」"


def _minutes_of(match: Match) -> int:
    minutes = match.output.get("sla_minutes")
    if minutes is None:
        return USUAL_MINUTES
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= MOST_MINUTES:
        raise TableBroken(f"规则「{match.row}」的时限要是 1 到 {MOST_MINUTES} 分钟的整数")
    return minutes


def check_matrix(body: object) -> list[Problem]:
    """Everything that is wrong with this matrix (`{"approval": JDM}`); empty when it is fit. Never raises.

    A `first` matrix with `"complete": true` must have a row for every order. Under `collect`, where any number of rows
    may hold, none is an answer: straight through.
    """
    try:
        model = _table_in(body)
        content = content_of(model)
    except TableBroken as broken:
        return [Problem("审批矩阵", str(broken))]
    return check_table(model, COLUMNS) or list(_without_reason(content))


def remarks_on_matrix(body: object) -> list[Problem]:
    """What is worth knowing about a matrix that is fit (`check_matrix`): nothing here forbids it."""
    try:
        model = _table_in(body)
        content, sampled = content_of(model), examine_table(model, COLUMNS).sampled
    except TableBroken:
        return []
    found = [Problem("审批矩阵", "情形太多,只抽查了一部分,重叠和空缺可能没有全部找到")] if sampled else []
    straight = [row for row in content.rows if _passes(content, row)]
    if content.collects:
        words = "写「直通」不起作用:所有成立的行都算,别的行要审核的仍然要审核。要放行,就给那些行加条件"
        found += [Problem(f"第 {row.number} 行「{row.id}」", words) for row in straight]
    if len(straight) == len(content.rows):
        found.append(Problem("审批矩阵", "没有一行要人审核:再贵的订单、特殊配方的订单也直接放行"))
    return found


def _without_reason(content: Content) -> Iterator[Problem]:
    columns = {column.field: column.id for column in content.outputs}
    for row in content.rows:
        if not _passes(content, row) and columns.get("reason") not in row.cells:
            yield Problem(f"第 {row.number} 行「理由」", "没有写:审核的人要看到为什么")


def _passes(content: Content, row: Row) -> bool:
    """Whether a row says that nobody has to look."""
    role = next(column.id for column in content.outputs if column.field == "role")
    return row.cells.get(role, "").strip("\"'`") in STRAIGHT


def roles_of(route: Sequence[Asked]) -> tuple[str, ...]:
    """The roles of a route, sorted: what two routes are compared by."""
    return tuple(sorted(asked.role for asked in route))
