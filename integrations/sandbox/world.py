"""What the sandbox platforms know, in one SQLite file, so that killing the sandbox loses nothing.

Three things live here: the platforms' documents (orders, waybills, messages …), a journal that counts every
delivery that reached a platform (and whether it took effect or was recognised as a repeat), and jobs due later
(a work order completes, a parcel moves).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
  kind TEXT NOT NULL, id TEXT NOT NULL, updated REAL NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, id));
CREATE INDEX IF NOT EXISTS document_updated ON document (kind, updated, id);
CREATE TABLE IF NOT EXISTS delivery (
  seq INTEGER PRIMARY KEY, at REAL NOT NULL, platform TEXT NOT NULL, operation TEXT NOT NULL,
  key TEXT NOT NULL, took_effect INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS delivery_key ON delivery (platform, operation, key);
CREATE TABLE IF NOT EXISTS job (
  seq INTEGER PRIMARY KEY, due REAL NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS job_due ON job (due);
CREATE TABLE IF NOT EXISTS fault (
  seq INTEGER PRIMARY KEY, platform TEXT NOT NULL, operation TEXT NOT NULL, kind TEXT NOT NULL,
  remaining INTEGER NOT NULL, until REAL, detail TEXT NOT NULL);
"""

CLOCK = "clock"  # "" -> {"ahead": seconds that the platforms' clock is ahead of the machine's}


@dataclass(frozen=True)
class Fault:
    """A fault to play. `kind` is a name the platform's module knows; `detail` holds its parameters."""

    kind: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """Something that becomes due."""

    seq: int
    kind: str
    body: dict[str, Any]


class World:
    """The sandbox's memory. One process owns it; `speed` is how many sandbox seconds pass per real second."""

    def __init__(self, path: Path, speed: float = 1.0) -> None:
        self.speed = speed
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")  # a killed process loses nothing; a power cut may
        self._db.executescript(SCHEMA)

    def set_speed(self, speed: float) -> None:
        """From now on so many sandbox seconds pass per real second; what is due later comes that much sooner."""
        now = time.time()
        self._db.execute("UPDATE job SET due = ? + (due - ?) * ? WHERE due > ?", (now, now, self.speed / speed, now))
        self.speed = speed

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def now(self) -> datetime:
        """The platforms' clock (UTC)."""
        return datetime.now(UTC) + timedelta(seconds=(self.get(CLOCK, "") or {"ahead": 0.0})["ahead"])

    def set_clock(self, ahead: float) -> None:
        """From now on the platforms' clock is so many seconds ahead of ours (negative: behind)."""
        self.put(CLOCK, "", {"ahead": ahead})

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Handlers must not await inside."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # documents ------------------------------------------------------------------------------------------

    def get(self, kind: str, id: str) -> dict[str, Any] | None:
        """A document, or None."""
        row = self._db.execute("SELECT body FROM document WHERE kind=? AND id=?", (kind, id)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, kind: str, id: str, body: dict[str, Any], updated: datetime | None = None) -> None:
        """Write a document; `updated` (default now) orders windows."""
        at = (updated or self.now()).timestamp()
        self._db.execute(
            "INSERT INTO document VALUES (?,?,?,?) ON CONFLICT (kind, id) "
            "DO UPDATE SET updated=excluded.updated, body=excluded.body",
            (kind, id, at, json.dumps(body, ensure_ascii=False)),
        )

    def window(
        self, kind: str, since: float = 0.0, until: float = 1e12, offset: int = 0, limit: int = 100_000
    ) -> list[dict[str, Any]]:
        """Documents updated in [since, until) (epoch seconds), oldest first."""
        rows = self._db.execute(
            "SELECT body FROM document WHERE kind=? AND updated>=? AND updated<? ORDER BY updated, id LIMIT ? OFFSET ?",
            (kind, since, until, limit, offset),
        )
        return [json.loads(body) for (body,) in rows]

    def size(self, kind: str, since: float = 0.0, until: float = 1e12) -> int:
        """How many documents were updated in [since, until)."""
        row = self._db.execute(
            "SELECT count(*) FROM document WHERE kind=? AND updated>=? AND updated<?", (kind, since, until)
        ).fetchone()
        return int(row[0])

    # the journal ----------------------------------------------------------------------------------------

    def count(self, platform: str, operation: str, key: str, *, took_effect: bool) -> None:
        """Note one delivery. `took_effect` is False where the platform recognises a repeat or refuses."""
        self._db.execute(
            "INSERT INTO delivery (at, platform, operation, key, took_effect) VALUES (?,?,?,?,?)",
            (time.time(), platform, operation, key, int(took_effect)),
        )

    def counts(self) -> list[dict[str, Any]]:
        """Per platform and operation: deliveries, effects, keys, and keys that took effect more than once."""
        rows = self._db.execute(
            "SELECT platform, operation, sum(n), sum(e), count(*), sum(e > 1) FROM "
            "(SELECT platform, operation, key, count(*) n, sum(took_effect) e FROM delivery GROUP BY 1, 2, 3) "
            "GROUP BY 1, 2 ORDER BY 1, 2"
        )
        names = ("platform", "operation", "deliveries", "effects", "keys", "keys_twice")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def effects(self, platform: str, operation: str) -> dict[str, int]:
        """How often each key took effect."""
        rows = self._db.execute(
            "SELECT key, sum(took_effect) FROM delivery WHERE platform=? AND operation=? GROUP BY key",
            (platform, operation),
        )
        return {key: int(n) for key, n in rows}

    # later ----------------------------------------------------------------------------------------------

    def later(self, seconds: float, kind: str, body: dict[str, Any]) -> None:
        """Have a job done after so many sandbox seconds (divided by `speed`)."""
        due = time.time() + seconds / self.speed
        self._db.execute("INSERT INTO job (due, kind, body) VALUES (?,?,?)", (due, kind, json.dumps(body)))

    def waiting(self, kinds: str) -> int:
        """How many jobs of these kinds (a pattern of SQL: `douyin.push%`) are not done yet."""
        return int(self._db.execute("SELECT count(*) FROM job WHERE kind LIKE ?", (kinds,)).fetchone()[0])

    def due(self, limit: int = 200) -> list[Job]:
        """Jobs whose time has come, oldest first. Call `done` after doing one: a killed sandbox does it again."""
        rows = self._db.execute(
            "SELECT seq, kind, body FROM job WHERE due<=? ORDER BY due LIMIT ?", (time.time(), limit)
        )
        return [Job(seq, kind, json.loads(body)) for seq, kind, body in rows]

    def done(self, job: Job, again_in: float | None = None) -> None:
        """The job is done, or to be tried again after so many real seconds."""
        if again_in is None:
            self._db.execute("DELETE FROM job WHERE seq=?", (job.seq,))
        else:
            self._db.execute("UPDATE job SET due=? WHERE seq=?", (time.time() + again_in, job.seq))

    # faults ---------------------------------------------------------------------------------------------

    def set_fault(
        self,
        platform: str,
        operation: str,
        kind: str,
        times: int = 1,
        seconds: float | None = None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        """Play `kind` on the next `times` calls of an operation ("*" for all), at most for `seconds`."""
        until = None if seconds is None else time.time() + seconds
        self._db.execute(
            "INSERT INTO fault (platform, operation, kind, remaining, until, detail) VALUES (?,?,?,?,?,?)",
            (platform, operation, kind, times, until, json.dumps(detail or {})),
        )

    def clear_faults(self) -> None:
        """Back to normal."""
        self._db.execute("DELETE FROM fault")

    def unplayed(self) -> list[str]:
        """The kinds of faults that are still to be played, in their order."""
        return [kind for (kind,) in self._db.execute("SELECT kind FROM fault WHERE remaining > 0 ORDER BY seq")]

    def fault(self, platform: str, operation: str) -> Fault | None:
        """The fault to play on this call, used up by asking."""
        row = self._db.execute(
            "SELECT seq, kind, detail FROM fault WHERE platform=? AND operation IN (?, '*') "
            "AND remaining > 0 AND (until IS NULL OR until > ?) ORDER BY seq LIMIT 1",
            (platform, operation, time.time()),
        ).fetchone()
        if row is None:
            return None
        self._db.execute("UPDATE fault SET remaining = remaining - 1 WHERE seq=?", (row[0],))
        return Fault(row[1], json.loads(row[2]))
