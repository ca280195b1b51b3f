"""The real lane process on a real Prefect server, killed while it pays back and while a stock check runs out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from integrations.sandbox import warehouse
from models import lane as lanes
from models.database import transact
from models.fulfilment import Stage
from models.stock_check import CheckState
from tests.carrying import carry, placed, runs
from tests.database import TemporaryServer
from tests.e2e.lane_process import PATIENCE, lane_process, wait_until
from tests.e2e.passing_time import let_time_pass
from tests.e2e.told_once import assert_compensated_once, assert_shipped_once, events
from tests.house import House, house
from tests.orders import fulfilment_of
from tests.prefect import RunningServer
from tests.stock_checks import ASKED, check_of, says, time_is_over

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
#: Where lanes die here, one after the other: the first two over the order that is paid back, the last right after it
#: has let the other one go, because nobody had answered in time.
POINTS = ("called:refund", "called:coupon", "before_intent:waybill")


@pytest.fixture(scope="module")
def home(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module, with a warehouse that is asked about everything and answers nothing by itself."""
    with house(database_server, tmp_path_factory.mktemp("house"), overrides={"policy": ASKED}) as furnished:
        warehouse.behave(furnished.sandbox.world, silent=True)
        yield furnished


async def test_three_lanes_die_over_money_and_stock_checks_and_the_fourth_finishes(
    home: House, prefect_server: RunningServer, tmp_path: Path
) -> None:
    # given an order whose goods are not there, and one about which the warehouse says nothing
    missing, silent = await placed(home, gateway="alipay"), await placed(home, channel="wechat_shop")
    for order in (missing, silent):
        assert (await carry(order)).name == "等待仓库核对"
    says(missing, there=False)
    # when three lanes die, each at its point; before the third, the time to answer is over
    dead = []
    for point in POINTS:
        if point.endswith("waybill"):
            time_is_over(silent)
        with lane_process(home, prefect_server, tmp_path / "lane.log", kill_at=point) as lane:
            assert lane.wait(PATIENCE) == KILLED, point
        dead.append(transact(lanes.live_lanes)[-1])
        let_time_pass()
    with lane_process(home, prefect_server, tmp_path / "lane.log") as lane:
        wait_until(lambda: Stage(fulfilment_of(missing).stage).final, "the missing order is paid back")
        wait_until(lambda: fulfilment_of(silent).waiting_on == "carrier", "the other order is shipped")
        lane.terminate()
        assert lane.wait(PATIENCE) == 0
    # then nothing was told twice: one refund, one coupon, one message; and one parcel, after one silence
    assert_compensated_once(home, missing)
    assert_shipped_once(home, [silent])
    assert check_of(silent).state == CheckState.SILENT.value
    assert events(silent)["stock_check_answered"] == 1
    # and the runs of the dead are over
    for row in dead:
        (shift,) = runs(prefect_server, name={"any_": [row.name]})
        assert shift["state_name"] == "Crashed"
    ours = [missing.order_no, silent.order_no, *(row.name for row in dead)]
    assert runs(prefect_server, name={"any_": ours}, state={"type": {"any_": ["RUNNING", "PENDING"]}}) == []
    assert transact(lanes.live_lanes) == []
