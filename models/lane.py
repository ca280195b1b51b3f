"""Lanes: the rows by which running lane processes are known, paused, drained, and found dead."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Field, Session, SQLModel, select

from models.fulfilment import release_claims
from models.table import moment


class Lane(SQLModel, table=True):
    """One lane process. `run_id` is its current shift's flow run."""

    __tablename__ = "lane"

    name: str = Field(primary_key=True)
    pid: int
    host: str
    started_at: datetime = moment()
    heartbeat_at: datetime = moment()
    ended_at: datetime | None = moment(nullable=True)
    paused: bool = False
    draining: bool = False
    run_id: str | None = None
    in_flight: int = 0
    carried: int = 0


def register(session: Session, name: str, pid: int, host: str, now: datetime) -> Lane:
    """A lane starts. A pause set on the lane before stays set."""
    lane = Lane(name=name, pid=pid, host=host, started_at=now, heartbeat_at=now)
    paused = session.connection().execute(text("SELECT bool_or(paused) FROM lane WHERE ended_at IS NULL"))
    lane.paused = bool(paused.scalar())
    session.add(lane)
    session.flush()
    return lane


def beat(session: Session, name: str, in_flight: int, carried: int, run_id: str | None, now: datetime) -> Lane:
    """The lane is alive; returns its row with the flags that people have set."""
    session.connection().execute(
        text(
            "UPDATE lane SET heartbeat_at = :now, in_flight = :in_flight, carried = :carried, run_id = :run_id"
            " WHERE name = :name"
        ),
        {"now": now, "in_flight": in_flight, "carried": carried, "run_id": run_id, "name": name},
    )
    statement = select(Lane).where(Lane.name == name).execution_options(populate_existing=True)
    return session.exec(statement).one()


def end(session: Session, name: str, now: datetime) -> int:
    """A lane has ended, well or badly: give back what it held. Returns how many claims it still had."""
    session.connection().execute(
        text("UPDATE lane SET ended_at = COALESCE(ended_at, :now), in_flight = 0 WHERE name = :name"),
        {"now": now, "name": name},
    )
    return release_claims(session, name)


def dead_lanes(session: Session, now: datetime, after_seconds: int) -> list[Lane]:
    """Lanes that never said goodbye and have been silent too long."""
    statement = select(Lane).where(
        Lane.ended_at.is_(None),  # type: ignore[union-attr]
        Lane.heartbeat_at < now - timedelta(seconds=after_seconds),
    )
    return list(session.exec(statement))


def live_lanes(session: Session) -> list[Lane]:
    """Lanes that have not ended."""
    return list(session.exec(select(Lane).where(Lane.ended_at.is_(None)).order_by(Lane.started_at)))  # type: ignore[union-attr, arg-type]


def set_flags(session: Session, now: datetime, *, paused: bool | None = None, draining: bool | None = None) -> int:
    """Pause or resume all live lanes, or let them finish what they hold and stop. Returns how many."""
    lanes = live_lanes(session)
    for lane in lanes:
        lane.paused = lane.paused if paused is None else paused
        lane.draining = lane.draining if draining is None else draining
        session.add(lane)
    session.flush()
    return len(lanes)
