"""`orderloom status | doctor | logs`: what is, in words and tables."""

from __future__ import annotations

import time

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployments.book_access import order_book
from deployments.doctor import diagnose
from deployments.language import in_english, tell
from deployments.postgres import EmbeddedPostgres
from deployments.services import last_words
from deployments.stack_record import ChildRecord, StackRecord
from models.settings import Settings

NOT_RUNNING = 3
_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


def show_status(config: Settings) -> int:
    """The services, then the orders; 3 when the stack does not run or one of its services is down."""
    console = Console()
    record = StackRecord.load(config.state_dir)
    supervisor = record.supervisor() if record else None
    if config.shadow:
        said = tell("影子模式:不向外发送任何东西。", "Shadow mode: nothing is sent anywhere.")
        console.print(said, style="yellow", markup=False)
    if record is None or supervisor is None:
        console.print(
            tell("Orderloom 没有在运行。启动:`orderloom up`。", "Orderloom does not run. Start: `orderloom up`.")
        )
        if record is not None and (left := record.living_children()):
            names = ", ".join(left)
            again = tell(
                "`orderloom up` 会接手,`orderloom down` 会结束它们", "`orderloom up` takes over, `down` ends them"
            )
            console.print(tell(f"守护进程不在了,还留着:{names}。{again}。", f"Left behind: {names}. {again}."))
        return NOT_RUNNING
    table = Table(box=None, padding=(0, 3, 0, 0))
    for title in (
        tell("服务", "service"),
        tell("状态", "state"),
        "pid",
        tell("已运行", "up for"),
        tell("重启", "restarts"),
        "",
    ):
        table.add_column(title)
    for name, child in record.children.items():
        table.add_row(name, *_child(name, child, record))
    ports = "  ".join(f"{name} {port}" for name, port in record.ports.items())
    console.print(table)
    console.print(tell(f"端口:{ports}", f"ports: {ports}"), highlight=False)
    _show_board(console, config)
    healthy = all(child.state in ("ready", "done") for child in record.children.values())
    return 0 if healthy else NOT_RUNNING


_STATES = {
    "waiting": ("等待依赖", "waiting"),
    "starting": ("启动中", "starting"),
    "ready": ("正常", "fine"),
    "done": ("已完成", "done"),
    "ended": ("已退出,即将重启", "ended, starts again"),
}


def _child(name: str, child: ChildRecord, record: StackRecord) -> tuple[Text, str, str, str, str]:
    colour = {"ready": "green", "done": "green", "ended": "red"}.get(child.state, "yellow")
    seconds = int(time.time() - child.started) if child.started else None
    alive = "" if seconds is None else f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    said = child.said.splitlines()[0][:60] if child.said else ""
    again = str(child.starts - 1) if child.starts > 1 else ""
    return Text(tell(*_STATES[child.state]), style=colour), str(child.pid or ""), alive, again, said


def _show_board(console: Console, config: Settings) -> None:
    from models.board import matrix
    from models.database import transact, utcnow
    from models.wording import STAGE_WORDS, WAITING_WORDS, say

    language = "en" if in_english() else "zh"
    with order_book(config):
        board = transact(lambda session: matrix(session, utcnow()))
    table = Table(box=None, padding=(0, 3, 0, 0))
    for title in (
        tell("阶段", "stage"),
        tell("在等", "waiting for"),
        tell("单数", "orders"),
        tell("最久", "oldest"),
        tell("例如", "such as"),
    ):
        table.add_column(title)
    for cell in board.cells:
        waits = say(WAITING_WORDS, cell.waiting_on, language) if cell.waiting_on else tell("(处理中)", "(moving)")
        minutes = f"{cell.oldest_seconds / 60:.0f} min"
        table.add_row(say(STAGE_WORDS, cell.stage, language), waits, str(cell.count), minutes, ", ".join(cell.examples))
    console.print(table)
    today = board.today
    console.print(
        tell(
            f"今天:接单 {today.received},发货 {today.shipped},通知 {today.notified};未完 {board.unfinished},"
            f"待审核 {board.reviews_open},暂停 {board.holds_open},隔离 {board.quarantined},逾期未动 {board.overdue}",
            f"today: {today.received} in, {today.shipped} shipped, {today.notified} told; {board.unfinished} open, "
            f"{board.reviews_open} reviews, {board.holds_open} holds, {board.quarantined} quarantined, "
            f"{board.overdue} overdue",
        ),
        highlight=False,
    )


def show_diagnosis(config: Settings) -> int:
    """Every finding of the doctor; 1 when one of them is an error."""
    record = StackRecord.load(config.state_dir)
    ports = config.ports.model_dump()
    if record is not None and record.supervisor() is not None:
        ports = record.ports
    if config.database_url is not None:
        ports.pop("postgres", None)
    url = config.database_url.get_secret_value() if config.database_url else None
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("", tell("看了什么", "looked at"), tell("发现", "found"), tell("怎么办", "what to do")):
        table.add_column(title, overflow="fold")
    findings = diagnose(config.state_dir, ports, url)
    for finding in findings:
        mark, colour = _MARKS[finding.severity]
        said = (finding.english, "") if in_english() else (finding.title, finding.what_to_do)
        table.add_row(Text(mark, style=colour), finding.code, *map(Text, said))
    console = Console()
    console.print(table)
    errors = sum(finding.severity == "error" for finding in findings)
    if errors:
        console.print(tell(f"{errors} 处必须处理后才能启动。", f"{errors} must be seen to before a start."))
    return 1 if errors else 0


def show_log(config: Settings, name: str | None, lines: int) -> int:
    """The last lines of a service's log; without a name, which logs there are. 1 for an unknown name."""
    directory = config.state_dir / "logs"
    known = {file.stem: file for file in sorted(directory.glob("*.log"))}
    postgres = EmbeddedPostgres(config.state_dir).log_dir
    if config.database_url is None and postgres.exists():
        files = sorted(postgres.glob("*.log"), key=lambda file: file.stat().st_mtime)
        known |= {"postgres": files[-1]} if files else {}
    console = Console()
    if name in known:
        said = last_words(known[name], lines) or tell(f"({known[name]} 是空的)", f"({known[name]} is empty)")
        console.print(said, markup=False, highlight=False, soft_wrap=True)
        return 0
    if name is not None:
        console.print(tell(f"没有名为 {name} 的日志。", f"There is no log {name}."))
    for known_name, file in known.items():
        console.print(f"{known_name}: {file}", highlight=False)
    return 0 if name is None else 1
