"""`orderloom coupon redeem`: a coupon that made up for something is used, once."""

from __future__ import annotations

from typing import Annotated

import typer

from deployments.cli import Lang, StateDir, Who, prepare, who_am_i
from deployments.language import tell

app = typer.Typer()
coupon = typer.Typer(no_args_is_help=True, help=tell("补偿优惠券", "Coupons"))
app.add_typer(coupon, name="coupon")


@coupon.command(help=tell("核销一张补偿券,用于一个订单。", "Use a coupon for an order."))
def redeem(
    code: Annotated[str, typer.Argument(help=tell("券码", "the code"))],
    order: Annotated[str, typer.Argument(help=tell("订单号", "the order's number"))],
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from models import coupon as coupons
    from models.database import transact, utcnow

    name = who_am_i(who)
    with order_book(config):
        taken, sentence = transact(lambda session: coupons.redeem(session, code, order, name, utcnow()))
    typer.echo(sentence, err=not taken)
    raise typer.Exit(0 if taken else 1)
