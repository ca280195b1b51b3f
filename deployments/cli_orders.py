"""`orderloom explain | rerun | cancel` and `orderloom orders …`: about orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from deployments.cli import Lang, StateDir, Who, prepare, who_am_i
from deployments.language import tell

app = typer.Typer()
parcels = typer.Typer(no_args_is_help=True, help=tell("拆分订单、合并发货。", "Split orders, and merge them."))
app.add_typer(parcels, name="orders")

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


Part = Annotated[str, typer.Argument(help=tell("订单号,或其中一件如 SH-1001-2", "an order, or a part: SH-1001-2"))]
Parts = Annotated[list[str], typer.Argument(help=tell("订单号,或其中一件如 SH-1001-2", "orders, or parts: SH-1001-2"))]


@parcels.command(
    help=tell(
        "把几件商品拆出来单独发:`--take CAN-400=2`(SKU 或行号)。",
        "Send some pieces by themselves: `--take CAN-400=2` (a SKU or a line number).",
    )
)
def split(
    order: OrderNo,
    take: Annotated[list[str], typer.Option(help=tell("SKU 或行号=件数,可重复", "SKU or line=pieces, repeatable"))],
    part: Annotated[int | None, typer.Option(help=tell("从第几件拆", "of which part"))] = None,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.database import utcnow
    from models.order import find_order, lines_of
    from models.splitting import split_off

    def work(session: Any) -> str:
        known = find_order(session, _number_of(order))
        pieces = _pieces(take, lines_of(session, known.id or 0))
        new = split_off(session, known, pieces, who_am_i(who), utcnow(), number=part)
        number = f"{known.order_no}-{new.number}"
        return tell(f"已拆出 {number},单独发出。", f"{number} is split off and goes by itself.")

    _do(work, prepare(state_dir, lang))


@parcels.command(help=tell("把拆开的几件合并回一件:orders join SH-1001 1 2。", "Put parts together: join SH-1001 1 2."))
def join(
    order: OrderNo,
    numbers: Annotated[list[int], typer.Argument(help=tell("第几件", "their numbers"))],
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.database import utcnow
    from models.joining import join as put_back
    from models.order import find_order

    config = prepare(state_dir, lang)

    def work(session: Any) -> str:
        known = find_order(session, _number_of(order))
        minutes = config.policy.stock_check_minutes
        whole = put_back(session, known, numbers, who_am_i(who), utcnow(), check_minutes=minutes)
        number = f"{known.order_no}-{whole.number}"
        return tell(f"已合并回 {number},一起发出。", f"put back into {number}, which goes as one.")

    _do(work, config)


@parcels.command(help=tell("同一客户的几个订单装在一个包裹里发。", "Have orders of one customer travel in one parcel."))
def merge(orders: Parts, who: Who = None, state_dir: StateDir = None, lang: Lang = None) -> None:
    from models.database import utcnow
    from models.merge_desk import fulfilments_named
    from models.merge_desk import merge as merge_them

    def work(session: Any) -> str:
        ids = [one.id for name in orders for one in fulfilments_named(session, name)]
        return merge_them(session, ids, who_am_i(who), utcnow())

    _do(work, prepare(state_dir, lang))


@parcels.command(
    help=tell("取消合并:单独发;已有运单的先撤回。", "Go alone again; a shared waybill is called back first.")
)
def unmerge(order: Part, who: Who = None, state_dir: StateDir = None, lang: Lang = None) -> None:
    from models.database import utcnow
    from models.merge_desk import MergeRefused, fulfilments_named
    from models.merge_desk import unmerge as part_them

    def work(session: Any) -> str:
        named = fulfilments_named(session, order)
        # in the order of the parcels, as everybody locks them
        concerned = sorted((one.member.shared_parcel_id, one.id) for one in named if one.member is not None)
        if not concerned:
            raise MergeRefused(f"{order} 没有和别的订单合并发货,没有任何改变。")
        return "\n".join(part_them(session, id, who_am_i(who), utcnow()) for _, id in concerned)

    _do(work, prepare(state_dir, lang))


def _do(work: Callable[[Any], str], config: Any) -> None:
    """One rule in one transaction; its sentence. What is refused ends with the rule's own sentence and code 1."""
    from deployments.book_access import order_book
    from models.database import transact

    with order_book(config):
        typer.echo(transact(work))


def _pieces(take: list[str], lines: list[Any]) -> dict[int, int]:
    """Order line id → pieces, of words like `CAN-400=2` (its only line) or `1=2` (line 1)."""
    pieces: dict[int, int] = {}
    for said in take:
        name, _, count = said.rpartition("=")
        named = [line for line in lines if line.sku == name.strip()]
        named = named or [line for line in lines if str(line.line_no) == name.strip()]
        if len(named) != 1 or not count.strip().isdecimal():
            known = "、".join(f"{line.line_no} {line.sku}" for line in lines)
            raise typer.BadParameter(
                tell(
                    f"--take {said}:写成 SKU=件数或行号=件数;这个订单的行:{known}",
                    f"--take {said}: write SKU=pieces or line=pieces; its lines: {known}",
                )
            )
        pieces[named[0].id] = int(count)
    return pieces


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
