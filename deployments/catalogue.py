"""What runs where and when: every pool, deployment, schedule and automation, as typed data.

`deployments/deploy.py` carries this list to the Prefect server, `deployments/workers.py` serves its pools.
Nothing else decides when a flow runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.events import ActionTypes, EventTrigger, TriggerTypes
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import Posture

TIMEZONE = "Asia/Shanghai"
_NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Cron:
    """By the calendar: five fields, read on the clock of `timezone`."""

    expression: str
    timezone: str = TIMEZONE

    def for_prefect(self) -> CronSchedule:
        """The same schedule in Prefect's own type."""
        return CronSchedule(cron=self.expression, timezone=self.timezone)


@dataclass(frozen=True)
class Interval:
    """Every so often, counted from a fixed moment, so that a re-deploy does not shift it."""

    every: timedelta
    timezone: str = TIMEZONE
    anchor: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def for_prefect(self) -> IntervalSchedule:
        """The same schedule in Prefect's own type."""
        return IntervalSchedule(interval=self.every, anchor_date=self.anchor, timezone=self.timezone)


@dataclass(frozen=True)
class Pool:
    """A work pool. `orderloom` runs flows inside the worker, `process` starts a process for each.

    `limit` counts runs that are Pending or Running. `poll_seconds` is how long a new run waits at most
    (about a third more at times) before a worker sees it.
    """

    name: str
    type: Literal["orderloom", "process"]
    limit: int
    note: str
    poll_seconds: float = 10.0


@dataclass(frozen=True)
class Deployment:
    """One way to run a flow.

    `entrypoint` is `flows/ingest_orders.py:ingest_orders`; it is imported as a module, once per worker.
    `limit` is how many of its runs may be active; one run too many is cancelled when there is a schedule
    (the next one comes anyway), and waits when a person started it. `description` is Markdown for operators.
    `active` is whether a new schedule starts switched on.
    """

    name: str
    entrypoint: str
    pool: str
    description: str
    schedule: Cron | Interval | None = None
    limit: int | None = 1
    parameters: Mapping[str, Any] = field(default_factory=lambda: _NO_PARAMETERS)
    tags: tuple[str, ...] = ()
    version: str = "1"
    active: bool = True

    @property
    def module_path(self) -> str:
        """The entrypoint as an import path: `flows.ingest_orders.ingest_orders`."""
        path, _, attribute = self.entrypoint.partition(":")
        return f"{path.removesuffix('.py').replace('/', '.')}.{attribute}"

    @property
    def collision(self) -> Literal["CANCEL_NEW", "ENQUEUE"]:
        """What becomes of a run past the limit."""
        return "CANCEL_NEW" if self.schedule else "ENQUEUE"


@dataclass(frozen=True)
class Automation:
    """What the server itself does when something happens, or when something expected does not."""

    name: str
    description: str
    trigger: TriggerTypes
    actions: tuple[ActionTypes, ...]


def digest(definition: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that change when, and only when, the definition does."""
    canonical = json.dumps(definition, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


POOLS: list[Pool] = [
    Pool("desk", "orderloom", 2, "人工操作：单独重跑订单、审核后继续、规则试算。有人在等，随到随跑。", 1.5),
    Pool("routine", "orderloom", 2, "日常：拉单、物流跟踪、库存推送、告警、对账、报表。", 5.0),
    Pool("surge", "process", 2, "大促加开的履约通道，每个一个进程；仅在大促期间使用。"),
    Pool("deferred", "process", 1, "可缓：问卷、积分、评价分析、洞察。大促期间暂停。"),
]

DEPLOYMENTS: list[Deployment] = []

AUTOMATIONS: list[Automation] = [
    Automation(
        name="失联的运行判为崩溃",
        description=(
            "运行每 180 秒报一次心跳；9 分钟没有任何消息，说明它的进程已不在，"
            "判为崩溃，以免一直显示运行中并占着名额。"
        ),
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            after={"prefect.flow-run.heartbeat"},
            # any later word of the run counts: a waiting run ends under a state name of its own
            expect={"prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=540),
        ),
        actions=(
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message="9 分钟没有心跳：运行它的进程已不在。",
            ),
        ),
    ),
]
