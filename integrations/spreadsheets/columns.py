"""A proposal of which column is which, with a reason for each. Only a person turns it into a mapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from integrations.spreadsheets.column_names import SURE, WEAK, folded, is_silent
from integrations.spreadsheets.column_values import is_personal, looks_like, share_that_fits
from integrations.spreadsheets.mapping import Mapping, missing_fields
from integrations.spreadsheets.sheet_fields import ATTRIBUTE, FIELDS, IGNORE
from models.intake import PlatformStatus

_SURE, _WEAK, _LOOKS = 0.97, 0.65, 0.6
_PER_PLACE = 0.01
_LEAST = 0.2
_SAMPLES = 3


@dataclass(frozen=True)
class Guess:
    """What one column seems to be: a target of `sheet_fields`, 0 to 1 how sure, why, and a few of its values."""

    header: str
    target: str
    confidence: float
    reason: str
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Proposal:
    """A guess for every column, what is still missing, and what a person should know before confirming."""

    guesses: tuple[Guess, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    fill_down: bool
    default_status: str

    @property
    def columns(self) -> dict[str, str]:
        """Header → target, as proposed."""
        return {guess.header: guess.target for guess in self.guesses}

    def confirm(self, by: str, columns: dict[str, str] | None = None, **settings: Any) -> Mapping:
        """The mapping that `by` takes responsibility for, with these columns changed. Raises `MappingWrong`."""
        chosen = {"fill_down": self.fill_down, "default_status": self.default_status, **settings}
        return Mapping({**self.columns, **(columns or {})}, confirmed_by=by, **chosen)


@dataclass(frozen=True)
class _Candidate:
    column: int
    target: str
    confidence: float
    reason: str


def propose(headers: Sequence[str], sample_rows: Sequence[Sequence[str]]) -> Proposal:
    """Guess each column by its name and its values; nothing is used before a person confirmed it."""
    columns = [[row[at].strip() if at < len(row) else "" for row in sample_rows] for at in range(len(headers))]
    named = [found for at, header in enumerate(headers) for found in _by_name(at, header, columns[at])]
    unnamed = set(range(len(headers))) - {one.column for one in named}
    seen = [found for at in sorted(unnamed) if (found := _by_values(at, headers[at], columns[at]))]
    chosen = _assigned([*named, *seen])
    lost = {one.column: one for one in reversed([*named, *seen]) if one.column not in chosen}
    guesses = tuple(
        _guess(header, chosen.get(at) or _left_over(at, header, columns[at], lost.get(at)), columns[at])
        for at, header in enumerate(headers)
    )
    targets = [guess.target for guess in guesses]
    fill_down = _has_blank_ids(targets, columns)
    default = "" if "status" in targets or "paid_at" in targets else PlatformStatus.TO_SHIP.value
    return Proposal(guesses, tuple(missing_fields(targets)), tuple(_notes(guesses, fill_down)), fill_down, default)


def _by_name(at: int, header: str, cells: Sequence[str]) -> list[_Candidate]:
    name = folded(header.partition("#")[0] or header)
    if is_silent(header):
        return []
    found = [(_SURE, one) for one in SURE.get(name, ())] + [(_WEAK, one) for one in WEAK.get(name, ())]
    return [_judged(at, target, base - _PER_PLACE * place, cells) for base, (target, place) in found]


def _judged(at: int, target: str, base: float, cells: Sequence[str]) -> _Candidate:
    """The name's word, weighed with the values."""
    share = share_that_fits(target, cells)
    reason = f"列名是{FIELDS[target].zh}的常见写法"
    if share is None:
        empty = not any(cells)
        return _Candidate(at, target, base * (0.9 if empty else 1.0), reason + (",但样例里没有值" if empty else ""))
    if share < 1:
        reason += f",但样例里只有 {share:.0%} 的值读得懂" if share < 0.9 else f",{share:.0%} 的值读得懂"
    else:
        reason += ",值也相符"
    return _Candidate(at, target, base * (0.3 + 0.7 * share), reason)


def _by_values(at: int, header: str, cells: Sequence[str]) -> _Candidate | None:
    if is_silent(header) or (found := looks_like(cells)) is None:
        return None
    target, words = found
    return _Candidate(at, target, _LOOKS, f"列名没有认出来,但值像{words}")


def _assigned(candidates: Sequence[_Candidate]) -> dict[int, _Candidate]:
    """One target per column and, but for shared fields, one column per target: the surest first."""
    chosen: dict[int, _Candidate] = {}
    taken: set[str] = set()
    for one in sorted(candidates, key=lambda one: (-one.confidence, one.column)):
        if one.confidence < _LEAST or one.column in chosen or one.target in taken:
            continue
        chosen[one.column] = one
        if not FIELDS[one.target].shared:
            taken.add(one.target)
    return chosen


def _left_over(at: int, header: str, cells: Sequence[str], lost: _Candidate | None) -> _Candidate:
    """A column that is no field: kept as an attribute unless it is noise, empty, personal, or a lesser double."""
    if is_silent(header):
        return _Candidate(at, IGNORE, 0.9, "和发什么、发给谁无关,不采用")
    if lost is not None:
        return _Candidate(at, IGNORE, 0.5, f"像{FIELDS[lost.target].zh},但另一列更像")
    if not any(cells):
        return _Candidate(at, IGNORE, 0.8, "样例里没有值")
    if is_personal(cells):
        return _Candidate(at, IGNORE, 0.7, "像个人信息,不作为附加信息保存")
    return _Candidate(at, f"{ATTRIBUTE}{header}", 0.4, "没有认出来,按附加信息保存")


def _guess(header: str, found: _Candidate, cells: Sequence[str]) -> Guess:
    samples = tuple(dict.fromkeys(cell[:60] for cell in cells if cell))[:_SAMPLES]
    return Guess(header, found.target, round(found.confidence, 2), found.reason, samples)


def _has_blank_ids(targets: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether rows without an order id carry goods: then they continue the order above."""
    if "order_id" not in targets or "sku" not in targets:
        return False
    ids, skus = columns[targets.index("order_id")], columns[targets.index("sku")]
    return bool(ids) and bool(ids[0]) and any(sku and not order_id for order_id, sku in zip(ids, skus, strict=True))


def _notes(guesses: Sequence[Guess], fill_down: bool) -> list[str]:
    targets = {guess.target for guess in guesses}
    notes = []
    if "status" not in targets:
        how = "有付款时间的按待发货,没有的按待付款" if "paid_at" in targets else "每一单都按待发货"
        notes.append(f"没有订单状态列:{how}处理。")
    if fill_down:
        notes.append("有的行没有订单号却有商品:建议作为上一单的续行。")
    if "address" in targets and not targets & {"province", "street"}:
        notes.append("省市区会从完整地址里拆出来,拆不出来的订单会搁置。")
    doubtful = [guess.header for guess in guesses if guess.target in FIELDS and guess.confidence < 0.7]
    if doubtful:
        notes.append(f"请特别核对:{'、'.join(doubtful)}。")
    return notes
