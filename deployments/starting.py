"""`orderloom up` and `down`: a supervisor in the background or the foreground, found again by its record."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from rich.console import Console

from deployments.language import tell
from deployments.postgres import EmbeddedPostgres, make_state_dir
from deployments.services import REPOSITORY, last_words, open_log
from deployments.stack import Stack, clear_remains, is_demo
from deployments.stack_record import StackRecord, alone, living
from deployments.stop_signals import StopSignals
from models.settings import Settings

IN_SHADOW = "影子模式:读真实渠道,不向外发送任何东西。报告:`orderloom shadow report`"
IN_SHADOW_ENGLISH = "Shadow mode: real channels are read, nothing is sent. Report: `orderloom shadow report`"
#: Seconds a start may take: a database after a crash recovers for up to five minutes.
START_SECONDS = 600.0
#: Seconds a stop may take before the supervisor itself is killed.
STOP_SECONDS = 120.0


def start_in_foreground(config: Settings) -> int:
    """Run the stack until a signal asks to stop. Raises what keeps it from starting."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    mode = "demo" if is_demo(config.state_dir) else "up"
    moves = mode == "demo" or config.shadow  # both may run beside a live one
    with StopSignals() as signals, Stack(config.state_dir, config, mode, move_ports=moves) as stack:  # type: ignore[arg-type]
        signals.again = stack.supervisor.hurry
        stack.supervisor.start()
        said = False
        while not signals.asked.wait(0.5):
            # once it was up, nothing makes the supervisor give up any more
            if not said and stack.supervisor.are_ready():
                said = True
                print(tell("已就绪", "ready"), flush=True)
    return 0


def start_in_background(config: Settings) -> int:
    """Start a supervisor of its own session and wait until the stack is ready; 1 when it does not get there."""
    console = Console()
    make_state_dir(config.state_dir)
    with alone(config.state_dir):
        pass  # says so at once when it runs already
    log = config.state_dir / "logs" / "supervisor.log"
    descriptor = open_log(log)
    begins_at = log.stat().st_size
    # by its absolute name: the supervisor runs in the repository's directory
    environment = {**os.environ, "ORDERLOOM_STATE_DIR": str(config.state_dir.absolute())}
    command = [sys.executable, "-m", "deployments.cli", "up", "--foreground"]
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=descriptor,
        stderr=descriptor,
        start_new_session=True,
    )
    os.close(descriptor)
    with console.status(tell("正在启动…", "Starting …")):
        record = _wait_until_up(process, config.state_dir)
    if record is None:
        console.print(_said_since(log, begins_at) or last_words(log), markup=False, highlight=False)
        return 1
    show_addresses(console, config, record)
    return 0


def _wait_until_up(process: subprocess.Popen[bytes], state_dir: Path) -> StackRecord | None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        record = StackRecord.load(state_dir)
        if record is not None and record.pid == process.pid and record.ready:
            return record
        time.sleep(0.25)
    return None


def _said_since(log: Path, position: int) -> str:
    """What the supervisor's log says since then, without the lines of single services."""
    with open(log, "rb") as stream:
        stream.seek(min(position, log.stat().st_size))
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return "\n".join(line for line in lines if " WARNING " not in line and not line.startswith("  "))


def show_addresses(console: Console, config: Settings, record: StackRecord) -> None:
    """Where to look, for somebody who has just started it."""
    ports = record.ports
    seconds = max((child.seconds or 0.0) for child in record.children.values())
    console.print(tell(f"Orderloom 已启动({seconds:.0f} 秒)。", f"Orderloom is up ({seconds:.0f} s)."))
    if config.shadow:
        console.print(tell(IN_SHADOW, IN_SHADOW_ENGLISH), style="yellow", markup=False, highlight=False)
    secrets = config.state_dir / "secrets.json"
    command = "orderloom --shadow" if config.shadow else "orderloom"
    lines = [
        (tell("Prefect 界面", "Prefect UI"), f"http://127.0.0.1:{ports['prefect']}"),
        (tell("  登录串", "  auth string"), tell(f"在 {secrets} 的 prefect_auth", f"prefect_auth in {secrets}")),
        (tell("员工页面", "staff pages"), f"http://127.0.0.1:{ports['staff']}"),
        (
            tell("  账号", "  accounts"),
            tell(f"`{command} staff add 姓名` 新建", f"`{command} staff add NAME` makes one"),
        ),
        (tell("看状态 / 停止", "status / stop"), f"{command} status / {command} down"),
    ]
    for name, words in lines:
        console.print(f"  {name}: {words}", markup=False, highlight=False)


def stop_everything(config: Settings) -> int:
    """Stop the supervisor and all it started; what a killed supervisor left behind too. 0 also when nothing ran."""
    console = Console()
    record = StackRecord.load(config.state_dir)
    running = record.supervisor() if record else None
    if record is None and not EmbeddedPostgres(config.state_dir).status().initialised:
        console.print(tell(f"{config.state_dir} 里没有在运行的 Orderloom。", f"Nothing runs in {config.state_dir}."))
        return 0
    if running is not None and record is not None:
        with console.status(tell("正在停止,先让订单收尾…", "Stopping; orders in hand are finished first …")):
            _end_supervisor(running, record)
    with alone(config.state_dir):
        left = clear_remains(config.state_dir)
        if config.database_url is None:
            EmbeddedPostgres(config.state_dir).stop()
    if left:
        names = ", ".join(left)
        console.print(tell(f"清理了上次残留的进程:{names}", f"Ended processes left behind: {names}"))
    console.print(tell("已全部停止,数据保留。", "Everything has stopped; the data stay."))
    return 0


def _end_supervisor(running: psutil.Process, record: StackRecord) -> None:
    running.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    while living(record.pid, record.started) is not None:
        if time.monotonic() > deadline:
            running.kill()
        time.sleep(0.1)
