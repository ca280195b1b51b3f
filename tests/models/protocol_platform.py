"""The platform at the edge of the protocol test: it counts what it did for every key, and it may answer anything.

It takes effect once per key only for `KEYED`; asked about `ASKABLE`, it shows what it did only after its lag. What
has been sent may take effect after the sender is dead, but never later than the call's total time-out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from models.effect import EffectKind, Once

#: The total time-out of one call, in seconds.
CALL_SECONDS = 15.0


class Answer(StrEnum):
    """What the caller learns."""

    DONE = "done"
    LATER = "later"  # throttled: nothing came of this call
    REFUSED = "refused"
    NOTHING = "nothing"  # a time-out or a broken connection: it may have happened


@dataclass(frozen=True)
class Fate:
    """What becomes of one call: it acts after so many seconds, or never; the caller sees the answer after so many."""

    answer: Answer
    acts_after: float | None
    seen_after: float


WELL = Fate(Answer.DONE, 0, 0)
FATES = (
    WELL,
    WELL,
    WELL,
    Fate(Answer.DONE, 10, 12),
    Fate(Answer.NOTHING, 0, CALL_SECONDS),
    Fate(Answer.NOTHING, 14, CALL_SECONDS),
    Fate(Answer.NOTHING, 14, 1),
    Fate(Answer.NOTHING, None, CALL_SECONDS),
    Fate(Answer.LATER, None, 0),
    Fate(Answer.REFUSED, None, 0),
)


@dataclass
class Platform:
    """What the other side did. `over` holds the fulfilment numbers it must not hear of any more."""

    done: Counter[str] = field(default_factory=Counter)
    heard: Counter[str] = field(default_factory=Counter)
    over: set[str] = field(default_factory=set)
    _acted_at: dict[str, datetime] = field(default_factory=dict)
    _bytes: dict[str, bytes] = field(default_factory=dict)
    _due: list[tuple[datetime, EffectKind, str, bytes]] = field(default_factory=list)

    def send(self, kind: EffectKind, key: str, request: bytes, fate: Fate, now: datetime) -> Answer:
        """One call goes out; what it does, it does when its time comes."""
        self.heard[key] += 1
        if fate.acts_after is not None:
            self._due.append((now + timedelta(seconds=fate.acts_after), kind, key, request))
            self.pass_to(now)
        if kind.once is Once.KEYED and fate.answer is Answer.REFUSED and self.done[key]:
            return Answer.DONE  # the key is known: the first answer again
        return fate.answer

    def shows(self, kind: EffectKind, key: str, now: datetime) -> bool:
        """Asked whether it did `key`: seen only after the lag."""
        return key in self._acted_at and self._acted_at[key] + timedelta(seconds=kind.lag) <= now

    def pass_to(self, now: datetime) -> None:
        """Let everything act whose time has come, in its order."""
        self._due.sort(key=lambda due: due[0])
        while self._due and self._due[0][0] <= now:
            self._act(*self._due.pop(0))

    def _act(self, at: datetime, kind: EffectKind, key: str, request: bytes) -> None:
        if kind.once is Once.KEYED and self.done[key]:
            assert request == self._bytes[key], f"{key} was repeated with other bytes"
            return
        assert key.rpartition(":")[0] not in self.over, f"{key} happened after its fulfilment had ended"
        self.done[key] += 1
        self._acted_at.setdefault(key, at)
        self._bytes.setdefault(key, request)
