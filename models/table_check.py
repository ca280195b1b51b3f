"""Whether a decision table is fit to decide: everything that is wrong with it, in sentences.

First whether each cell can be read, and asks for nothing unknown; then, by asking the engine about every case that the
cells tell apart, whether each cell can be evaluated, each row can hold, and the rows cover what they must.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from models.decision_table import CannotTell, Cell, Column, Content, Row, TableBroken, content_of
from models.table_cases import Case, Cases, nested
from models.table_cell import CellRefused
from models.table_column import TableColumn, TableColumns, shown

#: More problems than this are only counted.
MOST_NAMED = 20
#: On how many cases an output is tried that depends on facts.
OUTPUTS_TRIED = 200
_SAMPLED = "(情形太多,只抽查了一部分)"


@dataclass(frozen=True)
class Problem:
    """Something wrong with rules: where it is, and why it cannot stay; for the person who wrote them."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}:{self.why}"


@dataclass(frozen=True)
class Examined:
    """What is wrong with a table. `sampled`: it tells too many cases apart, and not all of them were asked about."""

    problems: tuple[Problem, ...]
    sampled: bool = False


@dataclass(frozen=True)
class _Row:
    """A row with its cells read: (column, cell) of its inputs, and of its outputs by field."""

    row: Row
    cells: Sequence[tuple[Column, Cell]]
    outputs: Mapping[str, Cell]

    @property
    def name(self) -> str:
        return f"第 {self.row.number} 行"


def check_table(
    model: object, columns: TableColumns, *, overlaps_forbidden: bool = False, must_be_complete: bool = False
) -> list[Problem]:
    """Everything that is wrong with this table (a JDM); empty when it is fit. Never raises. As `examine_table`."""
    checks = examine_table(model, columns, overlaps_forbidden=overlaps_forbidden, must_be_complete=must_be_complete)
    return list(checks.problems)


def examine_table(
    model: object, columns: TableColumns, *, overlaps_forbidden: bool = False, must_be_complete: bool = False
) -> Examined:
    """What is wrong with this table (a JDM), and how far it was looked at. Never raises.

    `columns`: what it may ask for and put out. `overlaps_forbidden`: no two rows may hold in one case.
    `must_be_complete`: in every case one must. Either is also asked for by the table itself, by its keys
    `"overlaps": "forbidden"` and (of a `first` table) `"complete": true`, which the engine and the editor leave alone.
    """
    try:
        content = content_of(model)
    except TableBroken as broken:
        return Examined((Problem("决策表", str(broken)),))
    problems = [*_marks(content), *_known_columns(content, columns), *_row_ids(content)]
    rows, unread = _read(content, columns)
    problems += unread
    if problems:  # what follows goes by rows that can be read
        return Examined(_most(problems))
    cases = Cases([[cell for _, cell in row.cells] for row in rows], columns.facts)
    failing = [problem for row in rows for problem in _failing(row, cases, columns)]
    if failing:
        return Examined(_most(failing), cases.sampled)
    problems += [problem for number, row in enumerate(rows) for problem in _put_out(number, row, cases, columns)]
    never = set(cases.never())
    problems += [problem for number, row in enumerate(rows) if number in never for problem in _never(row, columns)]
    if not content.collects:
        problems += _unreached(rows, cases, never)
    if overlaps_forbidden or content.marks.get("overlaps") == "forbidden":
        problems += _overlaps(rows, cases, columns)
    if must_be_complete or (content.marks.get("complete") is True and not content.collects):
        problems += _gap(cases, columns)
    return Examined(_most(problems), cases.sampled)


def _most(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    more = len(problems) - MOST_NAMED
    return (*problems[:MOST_NAMED], *([Problem("决策表", f"另外还有 {more} 处问题")] if more > 0 else []))


def _marks(content: Content) -> Iterator[Problem]:
    if content.marks.get("overlaps", "forbidden") not in ("forbidden", "allowed"):
        yield Problem("决策表", "overlaps 只能是 forbidden 或 allowed")
    if not isinstance(content.marks.get("complete", True), bool):
        yield Problem("决策表", "complete 只能是 true 或 false")


def _known_columns(content: Content, columns: TableColumns) -> Iterator[Problem]:
    for column in content.inputs:
        if column.field and column.field not in columns.facts:
            yield Problem(f"列「{column.name}」", f"没有事实 {column.field}:可以用 {_listed(columns.facts)}")
    for column in content.outputs:
        if column.field not in columns.outputs:
            yield Problem(f"列「{column.name}」", f"没有输出 {column.field}:可以用 {_listed(columns.outputs)}")
    put_out = {column.field for column in content.outputs}
    for field, output in columns.outputs.items():
        if not output.optional and field not in put_out:
            yield Problem("决策表", f"缺少输出列「{output.name}」({field})")


def _listed(columns: Mapping[str, TableColumn]) -> str:
    return "、".join(f"{field}({column.name})" for field, column in columns.items())


def _row_ids(content: Content) -> Iterator[Problem]:
    for row_id, times in Counter(row.id for row in content.rows).items():
        if times > 1:
            numbers = "、".join(str(row.number) for row in content.rows if row.id == row_id)
            yield Problem(f"第 {numbers} 行", f"编号(_id)都是「{shown(row_id)}」:每行要有自己的编号")


def _read(content: Content, columns: TableColumns) -> tuple[list[_Row], list[Problem]]:
    """The rows with their cells read, equal cells once; and what cannot be read, or asks for what is not known."""
    problems: list[Problem] = []
    same: dict[tuple[str, str], Cell] = {}

    def read(row: Row, column: Column, *, condition: bool) -> Cell | None:
        said, field = row.cells[column.id], column.field if condition else ""
        where = f"第 {row.number} 行「{column.name}」"
        cell = same.get((field, said)) if condition else None
        try:
            cell = cell or Cell(said, field, condition=condition)
        except CellRefused as refused:
            problems.append(Problem(where, f"「{shown(said)}」{refused}"))
            return None
        if condition:
            same[field, said] = cell
        why = _unknown_facts(cell, columns) or (columns.facts[field].why_not_asked(cell.parts) if field else "")
        if why:
            problems.append(Problem(where, f"「{shown(said)}」{why}"))
        return None if why else cell

    rows = []
    for row in content.rows:
        inputs = [(c, read(row, c, condition=True)) for c in content.inputs if c.id in row.cells and _asks(c, columns)]
        outputs = {c.field: read(row, c, condition=False) for c in content.outputs if c.id in row.cells}
        rows.append(
            _Row(row, [(c, cell) for c, cell in inputs if cell], {f: cell for f, cell in outputs.items() if cell})
        )
    return rows, problems


def _asks(column: Column, columns: TableColumns) -> bool:
    return not column.field or column.field in columns.facts


def _unknown_facts(cell: Cell, columns: TableColumns) -> str:
    unknown = sorted(cell.parts.reads - columns.facts.keys())
    if not unknown:
        return ""
    return f"里没有 {'、'.join(unknown)} 这个事实:文字要加引号,事实可以用 {_listed(columns.facts)}"


def _failing(row: _Row, cases: Cases, columns: TableColumns) -> Iterator[Problem]:
    for column, cell in row.cells:
        if cell in cases.failing:
            case, why = cases.failing[cell]
            yield Problem(
                f"{row.name}「{column.name}」", f"「{shown(cell.said)}」在 {_in_words(case, columns)} 时无法判断({why})"
            )


def _put_out(number: int, row: _Row, cases: Cases, columns: TableColumns) -> Iterator[Problem]:
    for field, output in columns.outputs.items():
        cell = row.outputs.get(field)
        where = f"{row.name}「{output.name}」"
        if cell is None:
            if not output.optional:
                yield Problem(where, f"没有写{output.what_to_write()}")
            continue
        facts = {fact: columns.facts[fact].samples([cell.parts]) for fact in sorted(cell.facts)}
        tried = cases.examples(number, facts, OUTPUTS_TRIED) if facts else iter([{}])
        why = next((why for case in tried if (why := _wrong_output(cell, output, case, columns))), "")
        if why:
            yield Problem(where, f"「{shown(cell.said)}」{why}")


def _wrong_output(cell: Cell, output: TableColumn, case: Case, columns: TableColumns) -> str:
    when = f"在 {_in_words({f: v for f, v in case.items() if f in cell.facts}, columns)} 时" if cell.facts else ""
    try:
        value = cell.value(nested(case))
    except CannotTell as why:
        return f"{when}无法计算({why})"
    told = output.why_not_put_out(value, constant=not cell.facts)
    return f"{when}{told}" if told else ""


def _never(row: _Row, columns: TableColumns) -> Iterator[Problem]:
    for column, cell in row.cells:
        if Cases([[cell]], columns.facts).never():
            yield Problem(f"{row.name}「{column.name}」", f"「{shown(cell.said)}」永远不成立,这一行没有用")
            return
    yield Problem(row.name, "几格的条件不能同时成立,这一行没有用")


def _unreached(rows: Sequence[_Row], cases: Cases, never: set[int]) -> Iterator[Problem]:
    """Rows that the ones before them leave nothing to."""
    for number, row in enumerate(rows):
        before = cases.whole_rows(cases.along(number) & ((1 << number) - 1))
        if number in never or not before:
            continue
        sampled, cases.sampled = cases.sampled, False
        left = cases.uncovered(before, within=number)
        known, cases.sampled = not cases.sampled, sampled or cases.sampled
        if left is None and known:
            covering = [rows[at].row.number for at in range(number) if before >> at & 1]
            told = "、".join(map(str, covering[:5])) + (" 等" if len(covering) > 5 else " ")
            yield Problem(row.name, f"永远轮不到:前面的第 {told}行已经包括了它的全部情形")


def _overlaps(rows: Sequence[_Row], cases: Cases, columns: TableColumns) -> Iterator[Problem]:
    for number, row in enumerate(rows):
        together = cases.along(number) & ((1 << number) - 1)
        if not together:
            continue
        first = (together & -together).bit_length() - 1
        case = cases.case_of(1 << number | 1 << first)
        if case is not None:
            yield Problem(
                f"第 {rows[first].row.number}、{row.row.number} 行",
                f"{_in_words(case, columns)} 时都成立,而这张表的行不许重叠{_SAMPLED if cases.sampled else ''}",
            )


def _gap(cases: Cases, columns: TableColumns) -> Iterator[Problem]:
    case = cases.uncovered()
    if case is not None:
        told = _in_words(case, columns)
        yield Problem(
            "决策表",
            f"{told} 没有任何一行覆盖,请补上,或在最后加一行全空的{_SAMPLED if cases.sampled else ''}",
        )


def _in_words(case: Case, columns: TableColumns) -> str:
    """A case as people say it: `金额 = 500, 特殊 = 否`."""
    told = [f"{c.name} = {c.in_words(case[field])}" for field, c in columns.facts.items() if field in case]
    return ", ".join(told) or "任何情形"
