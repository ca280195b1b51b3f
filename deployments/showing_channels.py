"""`orderloom channels`: every channel there is, connected or not, how far it is read, and whether orders are missing.

What the platform counts and what we have are those of the newest window that was read to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlmodel import Session

from deployments.language import in_english, tell
from deployments.stack import is_demo
from deployments.stack_record import StackRecord
from integrations.channels.connecting import Connection, connected_shops, connections
from integrations.sandbox.credentials import settings_for_sandbox
from models.intake_page import HEALTH_WORDS, Health, Standing, standings
from models.settings import Settings
from models.wording import CHANNEL_WORDS, TZ, local, say

_COLOURS = {Health.FINE: "green", Health.BROKEN: "red"}


def as_it_runs(config: Settings) -> Settings:
    """The settings that the stack of this state directory runs with: a demo's channels are the sandbox's."""
    if not is_demo(config.state_dir):
        return config
    record = StackRecord.load(config.state_dir)
    ports = record.ports if record else config.ports.model_dump()
    return Settings(**settings_for_sandbox(ports["sandbox"], f"http://127.0.0.1:{ports['portal']}"))


def show_channels(session: Session, config: Settings, now: datetime) -> bool:
    """A line for each shop, then what the others lack; False when a shop cannot be read, is late or lacks orders."""
    console = Console()
    known = {one.channel: one for one in connections(config)}
    shops = standings(session, connected_shops(config), now)
    if shops:
        console.print(_shops_table(shops, known))
    for shop in shops:
        if shop.mark is not None and shop.mark.error:
            name = say(CHANNEL_WORDS, shop.channel, _language())
            console.print(Text(f"{name}: {shop.mark.error}", style="red"))
    if any(shop.pushes.seconds is not None for shop in shops):
        console.print(tell("推送后的秒数:到入库的中位数。", "seconds after a push: until in the book, median."))
    if any(shop.gap for shop in shops):
        console.print(tell("缺的是哪些单:员工页面 /intake", "which orders are missing: staff page /intake"))
    _show_unconnected(console, list(known.values()))
    return all(shop.health in (Health.FINE, Health.NEVER) for shop in shops)


def _shops_table(shops: Sequence[Standing], known: dict[str, Connection]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in (tell("渠道", "channel"), tell("店铺", "shop"), tell("状态", "state"), tell("已读到", "read up to")):
        table.add_column(name, overflow="fold")
    for name in (tell("平台", "platform"), tell("我们有", "ours"), tell("缺", "missing")):
        table.add_column(name, justify="right")
    table.add_column(tell("今天推送", "pushed today"), overflow="fold")
    for shop in shops:
        health = Text(say(_HEALTH, shop.health.value, _language()), style=_COLOURS.get(shop.health, "yellow"))
        counted = (str(shop.last.told), str(shop.last.held)) if shop.last else ("—", "—")
        table.add_row(
            say(CHANNEL_WORDS, shop.channel, _language()),
            Text(shop.shop),
            health,
            _read_up_to(shop),
            *counted,
            str(shop.gap),
            _pushes(shop, known.get(shop.channel)),
        )
    return table


def _read_up_to(shop: Standing) -> str:
    if shop.mark is None or shop.age is None:
        return "—"
    minutes = int(shop.age / timedelta(minutes=1))
    if minutes >= 600:
        return local(shop.mark.until)
    return f"{shop.mark.until.astimezone(TZ):%H:%M} " + tell(f"{minutes} 分前", f"{minutes} min ago")


def _pushes(shop: Standing, connection: Connection | None) -> Text:
    pushes = shop.pushes
    if pushes.today:
        said = tell(f"{pushes.today} 条", str(pushes.today))
        if pushes.seconds is not None:
            said += f" {pushes.seconds:.1f} " + tell("秒", "s")
        if pushes.waiting:
            said += tell(f" 等 {pushes.waiting}", f" {pushes.waiting} wait")
        return Text(said)
    if connection is None or connection.lacking_for_pushes is None:
        return Text(tell("不推送", "none"))
    if connection.lacking_for_pushes:
        return Text(tell("缺 ", "lacks ") + " ".join(connection.lacking_for_pushes), style="yellow")
    return Text(tell("今天还没有", "none yet today"))


def _show_unconnected(console: Console, all_of_them: Sequence[Connection]) -> None:
    for one in all_of_them:
        if one.connected:
            continue
        name = say(CHANNEL_WORDS, one.channel, _language())
        fields = " ".join(one.lacking)
        state = tell("还缺", "lacks") if one.begun else tell("未接,要填", "not connected, needs")
        console.print(Text(f"{name}: {state} {fields}", style="yellow" if one.begun else "dim"))


def _language() -> str:
    return "en" if in_english() else "zh"


_HEALTH = {health.value: words for health, words in HEALTH_WORDS.items()}
