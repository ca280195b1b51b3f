"""What operators read of the quality of orders."""

from __future__ import annotations

from models.database import transact, utcnow
from models.quality import RULES
from models.quarantine import set_aside
from models.settings import settings
from models.validation import Outcome, RuleCount, Source, ValidationRun, record
from tasks.quality_gate import validate_batch
from tasks.validation_board import (
    ARTIFACT,
    CODE_WORDS,
    OUTCOME_WORDS,
    SOURCE_WORDS,
    Quality,
    as_markdown,
    show_validation,
)
from tests.house import House
from tests.models.build import NOW, RECEIVER, incoming
from tests.prefect import RunningServer


def test_every_outcome_source_and_code_has_words() -> None:
    assert set(OUTCOME_WORDS) == set(Outcome)
    assert set(SOURCE_WORDS) == set(Source)
    assert set(CODE_WORDS) == {rule.code for rule in RULES} | {"unreadable"}


def test_the_four_outcomes_are_told_apart_and_what_needs_a_person_comes_first() -> None:
    runs = [_run("shopify", outcome) for outcome in (Outcome.PASSED, Outcome.BAD_DATA)]
    runs += [_run("douyin", Outcome.BROKEN, error="规则 a|b 出错\n<b>"), _run("douyin", Outcome.EMPTY)]
    counts = [RuleCount("shopify", "currency", "currency", 3, 2), RuleCount("shopify", "unreadable", "", 1, 1)]

    assert as_markdown(Quality(NOW, runs, counts, 4)).splitlines() == [
        "# 订单数据质量 · 11-11 12:00",
        "",
        "- 抖店 最近一批没有校验成:规则本身出了错,原因见下,请交给技术支持",
        f"- 隔离 **4** 单等人处理:[隔离清单]({settings().staff_url()}/quarantine)",
        "",
        "## 最近的批次(每店 5 批)",
        "",
        "| 渠道 | 店铺 | 时间 | 来源 | 结果 | 订单 | 商品行 | 不合格 |",
        "|---|---|---|---|---|---:|---:|---:|",
        "| Shopify | pets | 11-11 12:00 | 拉取 | 通过 | 2 | 3 | 1 |",
        "| Shopify | pets | 11-11 12:00 | 拉取 | 有坏数据 | 2 | 3 | 1 |",
        "| 抖店 | pets | 11-11 12:00 | 拉取 | **校验本身坏了** | 2 | 3 | 1 |",
        "| 抖店 | pets | 11-11 12:00 | 拉取 | 空批 | 2 | 3 | 1 |",
        "",
        "## 校验本身坏在哪里",
        "",
        "- 11-11 12:00 抖店:规则 a&#124;b 出错 &lt;b>",
        "",
        "## 最近 7 天不合格的规则",
        "",
        "| 规则 | 代码 | 列 | 渠道 | 行数 | 批数 |",
        "|---|---|---|---|---:|---:|",
        "| 币种不收 | `currency` | currency | Shopify | 3 | 2 |",
        "| 读不懂的数据 | `unreadable` | – | Shopify | 1 | 1 |",
    ]


def test_a_judge_that_works_again_is_not_called_broken() -> None:
    runs = [_run("douyin", Outcome.PASSED), _run("douyin", Outcome.BROKEN, error="规则 x 出错")]

    told = as_markdown(Quality(NOW, runs, [], 0))

    assert "没有等人处理的事。" in told
    assert "规则 x 出错" in told


def test_before_the_first_batch_it_says_so() -> None:
    told = as_markdown(Quality(NOW, [], [], 0))

    assert "| – | – | – | – | 还没有校验过 | 0 | 0 | 0 |" in told
    assert told.endswith("\n没有。")


async def test_the_artifact_says_what_a_batch_came_to_and_nothing_about_a_person(
    home: House, prefect_server: RunningServer
) -> None:
    # given a batch with one order of an unknown SKU, which is set aside
    now = utcnow()
    order = incoming("board")
    verdict = validate_batch([order], {}, now)
    assert verdict.outcome is Outcome.BAD_DATA
    transact(lambda session: record(session, verdict, "shopify", "pets", Source.PULL, now))
    transact(lambda session: set_aside(session, "shopify", "pets", "id-board", verdict.failed[0], order.raw, now))
    # when it is shown
    quality = await show_validation()
    # then the artifact has the batch, the rule and the way to the quarantine
    told = _newest_artifact(prefect_server)
    assert told == as_markdown(quality)
    assert "| Shopify | pets |" in told and "有坏数据 | 1 | 1 | 1 |" in told
    assert "| 商品表里没有的 SKU | `unknown_sku` | sku_known | Shopify | 1 | 1 |" in told
    assert "/quarantine)" in told
    assert not [value for value in (RECEIVER.name, RECEIVER.phone, RECEIVER.detail, "buyer-1") if value in told]


def _run(channel: str, outcome: Outcome, error: str = "") -> ValidationRun:
    return ValidationRun(
        at=NOW,
        channel=channel,
        shop="pets",
        source=Source.PULL.value,
        outcome=outcome.value,
        orders=2,
        lines=3,
        failed=1,
        error=error,
    )


def _newest_artifact(server: RunningServer) -> str:
    wanted = {"artifacts": {"key": {"any_": [ARTIFACT]}}, "sort": "CREATED_DESC", "limit": 1}
    with server.http() as api:
        found = api.post("artifacts/filter", json=wanted)
        found.raise_for_status()
        return str(found.json()[0]["data"])
