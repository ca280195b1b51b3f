"""What happens to an order, from payment to the customer's door."""

from __future__ import annotations

from prefect import flow
from prefect.states import State
from pydantic.json_schema import SkipJsonSchema

from models.fulfilment import Claim
from tasks.cancelling import stop_if_held
from tasks.changing import carry_out_changes
from tasks.checking_stock import ask_warehouse, pass_stock_check
from tasks.delivery import follow_delivery
from tasks.merging import part_company
from tasks.notifying import notify_customer
from tasks.payment import verify_payment
from tasks.production import release_to_production
from tasks.recipe import match_recipe
from tasks.rerunning import claim_by_hand, summary
from tasks.review import pass_review
from tasks.shipping import create_waybill, tell_channel
from tasks.stock import reserve_stock
from tasks.winding_up import wind_up_if_over
from tasks.working import working_on


@flow(name="fulfil-order", flow_run_name="{order_no}", persist_result=False, validate_parameters=False)
async def fulfil_order(order_no: str, reason: str = "lane", claim: SkipJsonSchema[Claim | None] = None) -> State:
    """Carry one order as far as it goes now; what it waits for is the name of the final state.

    Lanes give the `claim`; a person gives the order number and a reason (deployment `fulfil-order/manual`).
    """
    if claim is None:
        return await fulfil_by_hand(order_no, reason)
    async with working_on(claim) as outcome:
        await part_company(claim)
        await wind_up_if_over(claim)
        await carry_out_changes(claim)
        await stop_if_held(claim)
        await verify_payment(claim)
        await match_recipe(claim)
        await reserve_stock(claim)
        await ask_warehouse(claim)
        await pass_review(claim)
        await release_to_production(claim)
        await pass_stock_check(claim)
        await create_waybill(claim)
        await tell_channel(claim)
        await notify_customer(claim)
        await follow_delivery(claim)
    return outcome.state


async def fulfil_by_hand(order_no: str, reason: str) -> State:
    """The same steps for every fulfilment of one order, with the same claims; what is held elsewhere is left."""
    claims = await claim_by_hand(order_no, reason)
    states = [await fulfil_order(claim.order_no, reason, claim, return_state=True) for claim in claims]
    return summary(order_no, claims, states)
