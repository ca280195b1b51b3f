"""Trying rules from the Prefect UI: the run, its progress, and the page that a business person reads."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact, FlowRun

from deployments.catalogue import DEPLOYMENTS
from models.database import engine_for, transact, utcnow
from models.past_orders import first_page, page, the_past
from models.rule_version import RuleKind, find_version
from models.tryout import PastOrder, Trial
from tests.carrying import carry, placed
from tests.house import House, living_in
from tests.orders import Kind
from tests.past_orders import a_draft, place_past, stricter_matrix
from tests.prefect import RunningServer, deploy_for_test, run_here

[ENTRY] = [one for one in DEPLOYMENTS if one.name == "try-rules"]


@pytest.fixture
def book(database_url: str) -> Iterator[None]:
    """An order book with 40 orders of the last days."""
    with living_in({"ORDERLOOM_DATABASE_URL": database_url}):
        transact(lambda session: place_past(session, 40, utcnow() - timedelta(seconds=1), 5))
        yield
    engine_for(database_url).dispose()


async def artifacts_of(run: FlowRun) -> dict[str, Artifact]:
    """The artifacts that a run wrote, by key."""
    async with get_client() as client:
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        found = await client.read_artifacts(artifact_filter=wanted)
    return {artifact.key or "": artifact for artifact in found}


async def test_a_business_person_tries_a_draft_and_reads_what_would_change(
    book: None, prefect_server: RunningServer
) -> None:
    # given a draft of the matrix
    number = a_draft(RuleKind.MATRIX, stricter_matrix())
    await deploy_for_test([ENTRY])
    # when it is tried with the form of the deployment
    asked = {"kind": "审批矩阵", "number": number, "your_name": "王敏", "days": 30}
    run = await run_here(ENTRY, parameters={"step": asked})
    # then the run says what it came to, and the version that it was tried
    version = transact(lambda session: find_version(session, RuleKind.MATRIX, number))
    changed = version.tried["changed"]
    assert changed > 0
    assert (run.name, run.state_name) == (f"试算审批矩阵第 {number} 版", f"会变 {changed} 单")
    assert version.tried["by"] == "王敏"
    # and the page has the sentence, the table, a picture, the orders, and what to do next
    artifacts = await artifacts_of(run)
    page = str(artifacts["tryout-matrix"].data)
    assert f"**最近 30 天的 40 单里,{changed} 单" in page
    assert re.search(r"^\| 直通占比 \| [\d.]+% \| [\d.]+% \| -[\d.]+ 个百分点 \|$", page, re.M)
    assert len(re.findall(r"^\| MANY-\d+ \| 新增送审 \| 直通 → 营养师\(22 分钟\) \|$", page, re.M)) == min(changed, 20)
    assert "activate-rules" in page
    [image] = re.findall(r"!\[[^\]]+\]\(data:image/png;base64,([^)]+)\)", page)
    assert base64.b64decode(image).startswith(b"\x89PNG")
    # and the progress bar is at its end
    assert artifacts["tryout-matrix-progress"].data == 100.0


@pytest.mark.parametrize(
    ("number", "name", "state"),
    [(1, " ", "缺姓名"), (7, "王敏", "不能试算")],
    ids=["nobody", "no such version"],
)
async def test_what_cannot_be_tried_ends_with_a_word(
    book: None, prefect_server: RunningServer, number: int, name: str, state: str
) -> None:
    await deploy_for_test([ENTRY])
    run = await run_here(ENTRY, parameters={"step": {"kind": "订单表单", "number": number, "your_name": name}})
    assert run.state_name == state
    assert await artifacts_of(run) == {}


@pytest.mark.parametrize("kind", list(RuleKind))
async def test_what_really_happened_to_orders_is_what_the_rules_in_force_say(
    home: House, prefect_server: RunningServer, kind: RuleKind
) -> None:
    # given orders that were carried: two straight through, two to a nutritionist
    orders = [await placed(home, each) for each in (Kind.STOCKED, Kind.MADE, Kind.COSTLY, Kind.MADE_COSTLY)]
    for order in orders:
        await carry(order)
    # when the version in force is asked about them again
    past = transact(lambda session: the_past(session, kind, 1, 1, utcnow()))
    found = transact(lambda session: page(session, past, first_page(past), 10_000))
    assert found is not None
    read = {told["id"]: PastOrder(**told) for told in json.loads(found.orders)}
    trial = Trial(past.rules)
    findings = [trial.look(read[order.id or 0]) for order in orders]
    # then nothing would change, and it saw what there was
    assert [finding.changes for finding in findings] == [{}] * 4
    assert [finding.broken for finding in findings] == [[]] * 4
    if kind is RuleKind.FORM:
        assert [bool(read[order.id or 0].answers) for order in orders] == [False, True, False, True]
        return
    assert [list(finding.after) for finding in findings] == [[], [], ["nutritionist"], ["nutritionist"]]
    if kind is RuleKind.RECIPES:
        assert [bool(finding.recipes) for finding in findings] == [False, True, False, True]
        assert [finding.cost_fen is not None for finding in findings] == [False, True, False, True]
