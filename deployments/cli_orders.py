"""`orderloom explain | rerun | cancel`: about orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from deployments.cli import Lang, StateDir, prepare
from deployments.language import tell

app = typer.Typer()

OrderNo = Annotated[str, typer.Argument(help=tell("订单号,或渠道后台的订单号", "our number, or the channel's"))]
#: Seconds that a command waits for its run.
WAIT_SECONDS = 90.0


@app.command(help=tell("这个订单为什么在这里、谁能推动它。", "Why an order is where it is, and who can move it."))
def explain(order: OrderNo, state_dir: StateDir = None, lang: Lang = None) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from models.database import transact, utcnow
    from models.explain import explain as explained

    with order_book(config):
        said = transact(lambda session: explained(session, order, utcnow(), config.language))
    typer.echo(said.text)
    raise typer.Exit(0 if said.found else 1)


@app.command(
    help=tell("现在就再处理一次这个订单,做过的步骤不会做第二次。", "Work on an order now; nothing is done twice.")
)
def rerun(
    order: OrderNo,
    reason: Annotated[str, typer.Option(help=tell("原因,写进订单的时间线", "why; goes into its timeline"))],
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    _run_for(order, "fulfil-order/manual", {"reason": reason}, prepare(state_dir, lang))


@app.command(
    help=tell("取消一个订单:撤回生产和运单,退回库存。", "Cancel an order: call back what is out, give back stock.")
)
def cancel(
    order: OrderNo,
    reason: Annotated[str, typer.Option(help=tell("原因", "why"))],
    who: Annotated[str, typer.Option(help=tell("你的姓名", "your name"))],
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    _run_for(order, "cancel-order/manual", {"reason": reason, "who": who}, prepare(state_dir, lang))


def _run_for(order: str, deployment: str, parameters: Mapping[str, Any], config: Any) -> None:
    """Start a run for this order, wait for it, say how it ended; exit code 1 unless it completed."""
    from deployments.book_access import order_book

    with order_book(config):
        order_no = _number_of(order)
    run_and_wait(deployment, {"order_no": order_no, **parameters}, config, f"{order_no}: ")


def run_and_wait(deployment: str, parameters: Mapping[str, Any], config: Any, about: str = "") -> None:
    """Start a run of a deployment, wait for it, say how it ended; exit code 1 unless it completed."""
    from deployments.prefect_calls import calls_of

    with calls_of(config) as calls:
        run = calls.start_run(deployment, parameters)
        typer.echo(tell(f"已开始:{calls.url}/runs/flow-run/{run.id}", f"started: {calls.url}/runs/flow-run/{run.id}"))
        run = calls.wait_for(run, WAIT_SECONDS)
    if not run.ended:
        typer.echo(tell("还在排队或运行,请在 Prefect 界面看结果。", "Still queued or running: see the Prefect UI."))
        raise typer.Exit(1)
    typer.echo(f"{about}{run.state_name}{' · ' + run.message if run.message else ''}")
    raise typer.Exit(0 if run.state == "COMPLETED" else 1)


def _number_of(order: str) -> str:
    """Our number of this order, also for the channel's id or name of it. Raises `OrderUnknown`."""
    from models.board import recent_orders
    from models.database import transact
    from models.order import OrderUnknown

    found: Callable[[Any], list[Any]] = lambda session: recent_orders(session, limit=2, query=order)  # noqa: E731
    numbers = {listed.order_no for listed in transact(found)}
    if len(numbers) != 1:
        raise OrderUnknown(order)
    return str(numbers.pop())
