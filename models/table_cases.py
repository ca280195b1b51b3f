"""The cases that a decision table tells apart: which rows hold in which, found by asking the engine.

Facts that no cell looks at together are independent of each other, so they are asked about block by block and not in
all combinations: in each block every combination of values that its cells could tell apart, and for each the set of
rows that it leaves in play (an integer, one bit a row). A row holds where all blocks leave it in play. So a table of
ten columns is looked at wholly; only a block with too many combinations is sampled, always the same ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from models.decision_table import CannotTell, Cell
from models.table_column import Kind, TableColumn

MOST_CASES = 20_000  # of one block
MOST_QUESTIONS = 2_000_000  # to the engine, about one table: a few seconds
MOST_STEPS = 200_000  # in the search for a case that no row covers

#: Values of facts, by dotted name.
Case = Mapping[str, Any]


@dataclass(frozen=True)
class Block:
    """Facts that cells look at together.

    `cases`: combinations of their values, each with the rows that it leaves in play. `rows`: those with a cell here.
    `whole`: whether these are all cases that the cells could tell apart.
    """

    facts: Sequence[str]
    cases: Sequence[tuple[Case, int]]
    rows: int
    whole: bool

    def find(self, rows: int) -> Case | None:
        """A case that leaves all of these rows in play."""
        return next((case for case, left in self.cases if left & rows == rows), None)


class Cases:
    """All cases of a table, given by the cells of each of its rows and the facts that they may ask for."""

    def __init__(self, rows: Sequence[Sequence[Cell]], facts: Mapping[str, TableColumn]) -> None:
        self.count, self._every = len(rows), (1 << len(rows)) - 1
        self.sampled = False
        #: Cells that the engine cannot evaluate on a case that may come, with the first such case and why.
        self.failing: dict[Cell, tuple[Case, str]] = {}
        self._steps = MOST_STEPS
        with_cell: dict[Cell, int] = {}
        for number, cells in enumerate(rows):
            for cell in cells:
                with_cell[cell] = with_cell.get(cell, 0) | 1 << number
        most = max(50, min(MOST_CASES, MOST_QUESTIONS // max(1, len(with_cell))))
        self.blocks = [self._block(part, with_cell, facts, most) for part in _apart(with_cell)]

    def _block(
        self, cells: Sequence[Cell], with_cell: Mapping[Cell, int], facts: Mapping[str, TableColumn], most: int
    ) -> Block:
        named = sorted({fact for cell in cells for fact in cell.facts}, key=list(facts).index)
        # what one fact is compared with is a limit of the other as well
        samples = [facts[fact].samples([cell.parts for cell in cells]) for fact in named]
        whole = prod(map(len, samples)) <= most
        self.sampled |= not whole
        cases = []
        for values in _combined(samples, most):
            case = dict(zip(named, values, strict=True))
            cases.append((case, self._left(case, cells, with_cell)))
        # of lists, of texts that are searched, and of facts that are compared with each other we try examples only
        whole = whole and len(named) <= 1 and all(cell.parts.plain for cell in cells)
        whole = whole and all(facts[fact].kind is not Kind.LIST for fact in named)
        rows = 0
        for cell in cells:
            rows |= with_cell[cell]
        return Block(named, cases, rows, whole)

    def _left(self, case: Case, cells: Sequence[Cell], with_cell: Mapping[Cell, int]) -> int:
        facts, out = nested(case), 0
        for cell in cells:
            try:
                held = cell.holds(facts)
            except CannotTell as why:
                self.failing.setdefault(cell, (case, str(why)))
                held = False
            if not held:
                out |= with_cell[cell]
        return self._every & ~out

    def never(self) -> list[int]:
        """The rows that surely hold in no case, from 0."""
        return [
            row
            for row in range(self.count)
            if any(block.whole and block.rows >> row & 1 and block.find(1 << row) is None for block in self.blocks)
        ]

    def along(self, row: int) -> int:
        """The other rows that hold in some case together with this one."""
        others = self._every & ~(1 << row)
        for block in self.blocks:
            together = 0
            for left in {left for _, left in block.cases}:
                if left >> row & 1:
                    together |= left
            others &= together
        return others

    def case_of(self, rows: int) -> Case | None:
        """A case in which all of these rows hold."""
        found: dict[str, Any] = {}
        for block in self.blocks:
            case = block.find(rows)
            if case is None:
                return None
            found.update(case)
        return found

    def uncovered(self, rows: int | None = None, within: int | None = None) -> Case | None:
        """A case (of those in which row `within` holds) in which none of these rows does; all rows if not given.

        None is certain unless `sampled` says that not everything was looked at.
        """
        wanted = self._every if rows is None else rows
        options = [_options(block, wanted, within) for block in self.blocks]
        if not all(options):
            return None
        options.sort(key=len)
        always = [wanted]  # what is left in play by whatever is chosen from here on, the last block first
        for choices in reversed(options):
            kept = always[-1]
            for left in choices:
                kept &= left
            always.append(kept)
        always.reverse()
        return self._search(options, always, wanted, set())

    def _search(
        self, options: Sequence[Mapping[int, Case]], always: Sequence[int], left: int, seen: set[tuple[int, int]]
    ) -> Case | None:
        if left and (not options or left & always[0] or (len(options), left) in seen):
            return None
        if not options:
            return {}
        seen.add((len(options), left))
        for choice, case in options[0].items():
            self._steps -= 1
            if self._steps < 0:
                self.sampled = True
                return None
            rest = self._search(options[1:], always[1:], left & choice, seen)
            if rest is not None:
                return {**case, **rest}
        return None

    def whole_rows(self, rows: int) -> int:
        """Those of these rows whose cells all stand in blocks that are known wholly."""
        for block in self.blocks:
            if not block.whole:
                rows &= ~block.rows
        return rows

    def examples(self, row: int, facts: Mapping[str, Sequence[Any]], most: int) -> Iterator[Case]:
        """Cases in which this row holds, that differ in these facts; values for those that are in no block."""
        usual = self.case_of(1 << row)
        if usual is None:
            return
        asked: list[Sequence[Case]] = [[usual]]
        for block in self.blocks:
            if facts.keys() & set(block.facts):
                asked.append([case for case, left in block.cases if left >> row & 1][:most])
        for fact, values in facts.items():
            if not any(fact in block.facts for block in self.blocks):
                asked.append([{fact: value} for value in values])
        for parts in _combined(asked, most):
            yield {fact: value for part in parts for fact, value in part.items()}


def nested(case: Case) -> dict[str, Any]:
    """The facts as a table is asked: `{"pet.species": "dog"}` is `{"pet": {"species": "dog"}}`."""
    facts: dict[str, Any] = {}
    for path, value in case.items():
        *steps, last = path.split(".")
        inner = facts
        for step in steps:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return facts


def _apart(cells: Mapping[Cell, int]) -> list[list[Cell]]:
    """The cells, those together that share a fact, directly or by others."""
    parts: list[tuple[set[str], list[Cell]]] = []
    for cell in cells:
        near = [part for part in parts if part[0] & cell.facts]
        parts = [part for part in parts if part not in near]
        parts.append(
            (set(cell.facts).union(*(part[0] for part in near)), [*(each for part in near for each in part[1]), cell])
        )
    return [part for _, part in parts]


def _combined(samples: Sequence[Sequence[Any]], most: int) -> Iterator[tuple[Any, ...]]:
    """All combinations, or `most` of them, always the same ones."""
    total = prod(map(len, samples))
    chance = random.Random(total)
    for number in range(min(total, most)):
        at = number if total <= most else chance.randrange(total)
        values = []
        for choices in reversed(samples):
            at, place = divmod(at, len(choices))
            values.append(choices[place])
        yield tuple(reversed(values))


def _options(block: Block, rows: int, within: int | None) -> dict[int, Case]:
    """What this block may leave in play of these rows, each with a case, the fewest rows first.

    What leaves more in play than another choice is no better for finding a case that nothing covers.
    """
    found: dict[int, Case] = {}
    for case, left in block.cases:
        if within is None or left >> within & 1:
            found.setdefault(left & rows, case)
    fewest = sorted(found, key=int.bit_count)
    if len(fewest) <= 500:
        fewest = [left for at, left in enumerate(fewest) if not any(left & less == less for less in fewest[:at])]
    return {left: found[left] for left in fewest}
