"""Lets a person pause the lanes, let them go on, or let them finish and stop."""

from __future__ import annotations

from typing import Literal

from prefect import flow
from prefect.states import Completed, State

from tasks.lanes import set_lanes

Action = Literal["pause", "resume", "drain"]


@flow(name="direct-lanes", flow_run_name="{action}", persist_result=False)
async def direct_lanes(action: Action) -> State:
    """`pause`: take no new work (what is under way is finished). `resume`: go on. `drain`: finish and stop."""
    return Completed(name=await set_lanes(action))
