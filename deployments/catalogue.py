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
    Pool("desk", "orderloom", 2, "人工操作：单独重跑订单、审核后继续、规则试算。有人在等，随到随跑。", 1.0),
    Pool("routine", "orderloom", 3, "日常：拉单、物流跟踪、库存推送、告警、对账、报表。", 5.0),
    Pool("surge", "process", 2, "大促加开的履约通道，每个一个进程；仅在大促期间使用。"),
    Pool("deferred", "process", 1, "可缓：问卷、积分、评价分析、洞察。大促期间暂停。"),
]

DEPLOYMENTS: list[Deployment] = [
    Deployment(
        name="every-15-minutes",
        entrypoint="flows/ingest_orders.py:ingest_orders",
        pool="routine",
        limit=2,  # while one waits for a slow channel, the next reads the others
        schedule=Cron("*/15 * * * *"),
        description=(
            "**拉取各渠道订单**，每 15 分钟一次；等不及就点 Run。\n\n"
            "每个店铺从上次读到的时刻（再往前 5 分钟）读到现在，同一订单不会进两次。"
            "某个渠道不通时其余照常，状态名会写明是哪一个；它的时刻不前移，下次从原处再读。\n\n"
            "每个窗口读完都向平台核对：平台计数多少、我们有多少，缺的按单号补取；补不上的记为缺口，写在 Artifacts 页的 "
            "`order-completeness`，以后每次再拉。一小时后再复查一遍，防止平台晚出现的订单。"
        ),
        tags=("intake",),
    ),
    Deployment(
        name="backfill",
        entrypoint="flows/backfill_orders.py:backfill_orders",
        pool="routine",
        description=(
            "**补拉一段时间的订单**：填起点和终点（带时区，如 `2026-11-01T00:00:00+08:00`），可只选几个渠道。\n\n"
            "新接店铺、停机之后、或怀疑漏单时用。每 6 小时一段，逐段读入并与平台核对；已有的订单不会变，可以重复运行。"
        ),
        tags=("intake", "by-hand"),
    ),
    Deployment(
        name="resubmit",
        entrypoint="flows/resubmit_orders.py:resubmit_orders",
        pool="desk",
        limit=None,
        description=(
            "**重新提交隔离的订单**：填姓名；`numbers` 是隔离区页面上的编号，不填就按 `faults`（如 `unknown_sku`）"
            "和渠道选，都不填就是全部。\n\n"
            "建好商品、或在渠道后台改好以后用；后一种请勾 `fetch_again`，先从渠道重新读。校验规则和原来一样。"
            "要改订单内容，请到员工页面的「隔离区」。"
        ),
        tags=("intake", "by-hand"),
    ),
    Deployment(
        name="uploaded",
        entrypoint="flows/import_orders.py:import_orders",
        pool="desk",
        description=(
            "**导入表格订单**：在员工页面「表格导入」上传并确认后自动运行，一次一个；也可以填表格编号手动运行。\n\n"
            "同一份表格导入两次，第二次什么也不变；中途停了再运行，会接着做。勾 `dry_run` 只试算，不入库。"
            "进度和报告在 Artifacts 页的 `order-import-编号`：入了多少、哪些行搁置、为什么。"
            "要停下请在员工页面按「停止」。"
        ),
        tags=("intake",),
    ),
    Deployment(
        name="manual",
        entrypoint="flows/fulfil_order.py:fulfil_order",
        pool="desk",
        limit=None,
        description=(
            "**重跑一个订单**：填订单号（如 `SH-1001`）和原因。\n\n"
            "步骤、占用和自动处理完全一样，做过的步骤不会做第二次。"
            "会解除「连续失败」「未接好」「平台拒绝」这几种搁置。订单正被别处处理时会说明还要等多久。"
        ),
        tags=("by-hand",),
    ),
    Deployment(
        name="manual",
        entrypoint="flows/cancel_order.py:cancel_order",
        pool="desk",
        limit=None,
        description=(
            "**取消一个订单**：填订单号、原因和你的姓名。\n\n"
            "已下达的生产和已开的运单会撤回，库存退回，已付的款原路退回。已经发出的订单不会取消，只标记为需要拦截。"
        ),
        tags=("by-hand",),
    ),
    Deployment(
        name="manual",
        entrypoint="flows/compensate_order.py:compensate_order",
        pool="desk",
        limit=None,
        description=(
            "**补偿一个订单**：缺货等发不出去时，全额退款并发一张优惠券；填订单号、原因和你的姓名。\n\n"
            "自动补偿达到上限后停在「等人批准」的订单，在这里选 `approve` 批准或 `decline` 驳回。"
            "补偿过的订单再运行一次，什么也不会改变，状态名是「没有变化」。"
        ),
        tags=("by-hand", "money"),
    ),
    Deployment(
        name="manual",
        entrypoint="flows/refund_order.py:refund_order",
        pool="desk",
        limit=None,
        description=(
            "**部分退款**：填订单号、金额（元）、原因和你的姓名，货照发。\n\n"
            "从收款的一方原路退回；超过剩余可退金额会被拒绝。一次运行只退一次，重试也不会多退；再退请再运行一次。"
        ),
        tags=("by-hand", "money"),
    ),
    Deployment(
        name="every-5-minutes",
        entrypoint="flows/tend_stock.py:tend_stock",
        pool="routine",
        schedule=Cron("*/5 * * * *"),
        description=(
            "**照看库存与退款**：过期的预留释放，到货按付款先后分给等货的订单，漏发的核对再发给仓库，未到账的退款再查。"
        ),
        tags=("stock", "money"),
    ),
    Deployment(
        name="review",
        entrypoint="flows/review_order.py:review_order",
        pool="desk",
        limit=None,
        description=(
            "**审核**：每个待审订单在这里有一个暂停的运行，名称就是订单号。\n\n"
            "点开它看原因和宠物档案，按 **Resume**，选结论、填姓名。决定两次或决定晚了都会说明，不会改变已有的结果。"
            "不要在这里点 Run：审核由订单自己发起。"
        ),
        tags=("review",),
    ),
    Deployment(
        name="every-minute",
        entrypoint="flows/tend_reviews.py:tend_reviews",
        pool="routine",
        schedule=Cron("* * * * *"),
        description=(
            "**照看审核**：每个未决的审核恰有一个暂停的运行；缺的补上，在别处决定了的关掉。\n\n"
            "新的审核用企业微信通知它的角色，一条消息包括很多单；到时限的七成时提醒一次，超时后请下一个角色，"
            "各一次（设置 `review_remind_percent`、`review_escalates_to`）。"
        ),
        tags=("review",),
    ),
    Deployment(
        name="many",
        entrypoint="flows/approve_reviews.py:approve_reviews",
        pool="desk",
        limit=None,
        description=(
            "**批量批准审核**：填审核人，再列出订单号或审核编号；或者选角色、理由、金额上限，指未决的全部。\n\n"
            "先只列清单，写在 Artifacts 页的 `approve-reviews`，什么也不改；看过以后去掉 `dry_run` 再运行一次。"
            "已决定的、不能批准的会逐个说明。"
        ),
        tags=("review", "by-hand"),
    ),
    Deployment(
        name="daily",
        entrypoint="flows/report_reviews.py:report_reviews",
        pool="routine",
        schedule=Cron("10 8 * * *"),
        description=(
            "**审核情况**，每天 8 点 10 分；等不及就点 Run。\n\n"
            "自动放行的比例、从送审到决定的时间（中位、P95）、按天、理由、角色和审核人，写在 Artifacts 页的 `reviews`。"
        ),
        tags=("review", "board"),
    ),
    Deployment(
        name="change-rules",
        entrypoint="flows/change_rules.py:change_rules",
        pool="desk",
        limit=None,
        description=(
            "**改规则**:审批矩阵加一行、订单表单加一个字段、加一个配方,或者用整份 XLSX、JSON。先选改什么,再填表。\n\n"
            "写好的是草稿,不影响任何订单。检查结果、和生效中的版本有什么不同、下一步做什么,写在 Artifacts 页的 "
            "`rule-draft-种类`。同样的改动运行两次,只有一份草稿。\n\n"
            "文件放在状态目录的 `rules` 文件夹里,只填文件名;先用 `orderloom rules export` 导出来改最省事。"
            "然后用 `try-rules` 试算,用 `activate-rules` 启用。"
        ),
        tags=("rules", "by-hand"),
    ),
    Deployment(
        name="activate-rules",
        entrypoint="flows/activate_rules.py:activate_rules",
        pool="desk",
        limit=None,
        description=(
            "**启用规则**:让一版从现在或某个时间起生效;也可以**退回**上一版、**撤回**还没到时间的启用、**作废**草稿。\n\n"
            "有问题的、没有试算过的不能启用;等不及就勾「不试算直接启用」并写明理由,理由会留在历史里。"
            "之前来的订单按它们原来的版本办,不受影响,所以随时可以退回。\n\n"
            "重复运行、两个人同时按,都只做一次,状态名是「没有改变」。谁在什么时候改了什么,"
            "写在 Artifacts 页的 `rule-history`。"
        ),
        tags=("rules", "by-hand"),
    ),
    Deployment(
        name="try-rules",
        entrypoint="flows/try_rules.py:try_rules",
        pool="desk",
        description=(
            "**试算规则**:一版订单表单、配方或审批矩阵,用最近几天的真实订单试一遍。填种类、"
            "第几版、最近几天和你的姓名。\n\n"
            "当时的决定是对照,不重算:哪些单会送审或不再送审、换人、换时限,配方换成什么,原料成本差多少,"
            "表单会搁置哪些单、缺哪一项。十万单一两分钟,进度和结果在 Artifacts 页的 `tryout-种类`,有图和订单号。\n\n"
            "只是试算,不改变任何订单,也不启用。满意后用 `activate-rules` 启用;改过的草稿要重新试算。"
        ),
        tags=("rules", "by-hand"),
    ),
    *(
        Deployment(
            name=action,
            entrypoint="flows/direct_lanes.py:direct_lanes",
            pool="desk",
            parameters={"action": action},
            description=said,
            tags=("lanes",),
        )
        for action, said in (
            ("pause", "**暂停履约**：不再取新的订单，手上的做完。用 `resume` 继续。"),
            ("resume", "**继续履约**：解除暂停，立即接着取单。"),
            ("drain", "**收尾后停止**：做完手上的订单就退出；守护进程会另起新的通道，适合更新程序之后用。"),
        )
    ),
    Deployment(
        name="every-5-minutes",
        entrypoint="flows/publish_stock.py:publish_stock",
        pool="routine",
        schedule=Cron("*/5 * * * *"),
        description=(
            "**发布库存到各渠道**：每个渠道的可售数改成它该有的数；等不及就点 Run。\n\n"
            "渠道上刚卖出的不会被盖掉：先看渠道现在的数，要调高时先把它的订单读进来，再按比对或按差额修改。"
            "某个渠道不通时其余照常。改了什么、哪些留到下一轮，写在 Artifacts 页的 `channel-stock`。"
        ),
        tags=("stock",),
    ),
    Deployment(
        name="every-5-minutes",
        entrypoint="flows/show_orders.py:show_orders",
        pool="routine",
        schedule=Cron("*/5 * * * *"),
        description="**订单总览**：各阶段有多少单、等什么、等了多久，写在 Artifacts 页的 `orders`；要最新的就点 Run。",
        tags=("board",),
    ),
    Deployment(
        name="daily",
        entrypoint="flows/report_shadow.py:report_shadow",
        pool="routine",
        schedule=Cron("0 8 * * *"),
        description=(
            "**影子模式报告**，每天 8 点；只在影子模式下有内容，正式运行时什么也不做。\n\n"
            "最近几天读到了多少单、本应做什么、和人实际做的有哪些不一致，写在 Artifacts 页的 `shadow-report`；"
            "命令行用 `orderloom shadow report`。"
        ),
        tags=("shadow",),
    ),
]

AUTOMATIONS: list[Automation] = [
    Automation(
        name="失联的运行判为崩溃",
        description=(
            "运行每 180 秒报一次心跳；9 分钟没有任何消息，说明它的进程已不在，判为崩溃，以免一直显示运行中并占着名额。"
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
