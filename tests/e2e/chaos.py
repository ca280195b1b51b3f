"""Kill each process of a running stack once, by SIGKILL, and see whether anything was lost or told twice.

    make chaos                      (CHAOS_ARGS="--orders 90 --keep" for more orders, or to keep the directory)

A demo runs; while its orders are on their way the lane, the workers, the portal, the sandbox platforms, the Prefect
server and PostgreSQL are killed, one after the other, each as soon as the stack has recovered from the last. Then
the supervisor itself is killed and `orderloom up` is run. Afterwards the sandbox, which counts every delivery and
recognises repeats only where the real platform does, says what it got; `orderloom check` says whether the book holds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg2

from deployments.kept_secrets import KeptSecrets
from deployments.postgres import EmbeddedPostgres, PostgresProblem
from deployments.prefect_calls import PrefectAway, PrefectCalls
from deployments.stack_record import StackRecord

#: The services that are killed, in this order.
VICTIMS = ("lane", "workers", "sandbox", "portal", "prefect-server", "postgres")
#: Operations of the platforms that must take effect once for each key: our promise, not theirs.
NOTICES = {
    ("shopify", "fulfillmentCreate"),
    ("wechat_shop", "order/delivery/send"),
    ("douyin", "order.logisticsAdd"),
}
KEEPERS = ("alipay", "wechat_pay", "shopify", "wechat_shop", "douyin")
ONCE = NOTICES | {("sf", "create_waybill"), ("mes", "release"), ("aliyun", "SendSms")}
ONCE |= {(keeper, "refund") for keeper in KEEPERS} | {("shopify", "discountCodeBasicCreate")}
RECOVERY_SECONDS = 180.0


@dataclass
class Chaos:
    """A demo under attack, in its own directory."""

    directory: Path
    orders: int
    recovered: dict[str, float] = field(default_factory=dict)
    demo: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        """`orderloom …` on this directory."""
        return [sys.executable, "-m", "deployments.cli", *arguments, "--state-dir", str(self.directory)]

    def record(self) -> StackRecord:
        """What the supervisor says of its services."""
        record = StackRecord.load(self.directory)
        if record is None:
            raise LookupError("no stack yet")
        return record

    def count(self, sql: str) -> int:
        """A number from the order book; -1 while the database is away."""
        try:
            url = EmbeddedPostgres(self.directory).url().replace("+psycopg2", "")
            with closing(psycopg2.connect(url)) as link, link.cursor() as cursor:
                cursor.execute(sql)
                return int(cursor.fetchone()[0])
        except (psycopg2.Error, PostgresProblem):
            return -1

    def moving(self) -> int:
        """Orders that nobody but the stack itself can move on."""
        return self.count(
            "SELECT count(*) FROM fulfilment f WHERE ready_at IS NOT NULL AND (waiting_on IS NULL OR waiting_on NOT IN"
            " ('review', 'carrier', 'refund', 'person')) OR (waiting_on = 'carrier' AND NOT EXISTS"
            " (SELECT FROM notification n WHERE n.fulfilment_id = f.id))"
        )

    def kill(self, name: str) -> None:
        """Kill one service, and wait until the supervisor has it ready again under another process id."""
        wait_until(lambda: self._back(name, None), RECOVERY_SECONDS, f"{name} runs")
        child = self.record().children[name]
        assert child.pid is not None
        say(f"killing {name} (pid {child.pid}) with {self.moving()} orders on their way")
        os.kill(child.pid, signal.SIGKILL)
        started = time.monotonic()
        wait_until(lambda: self._back(name, child.pid), RECOVERY_SECONDS, f"{name} comes back")
        self.recovered[name] = round(time.monotonic() - started, 1)
        say(f"{name} is back after {self.recovered[name]} s")

    def _back(self, name: str, old: int | None) -> bool:
        children = self.record().children
        renewed = children[name].pid not in (None, old)
        return renewed and all(child.state in ("ready", "done") for child in children.values())

    def ingest(self) -> None:
        """Pull all channels now; a server that is away is tried again later."""
        record, secrets = self.record(), KeptSecrets.load(self.directory)
        assert secrets is not None
        calls = PrefectCalls(f"http://127.0.0.1:{record.ports['prefect']}", secrets.prefect_auth)
        try:
            calls.start_run("ingest-orders/every-15-minutes")
        except PrefectAway as away:
            say(str(away))
        finally:
            calls.close()

    def sandbox(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the sandbox's control API."""
        url = f"http://127.0.0.1:{self.record().ports['sandbox']}/control/{path}"
        response = httpx.request(method, url, json=body, timeout=30, trust_env=False)
        response.raise_for_status()
        return response.json()


def say(sentence: str) -> None:
    """Progress, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition; a stack that is just starting has no answer yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (LookupError, OSError, httpx.HTTPError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s not yet: {what}")
        time.sleep(0.3)


def attack(it: Chaos) -> None:
    """The demo, and one kill after the other while orders are on their way."""
    seconds = it.orders * 1.5
    log = (it.directory / "demo.log").open("wb")
    it.demo = subprocess.Popen(
        it.command("demo", "--orders", str(it.orders), "--seconds", str(seconds), "--no-trickle"),
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    log.close()
    wait_until(lambda: it.count("SELECT count(*) FROM order_event WHERE kind = 'shipped'") > 0, 240, "first shipped")
    for victim in VICTIMS:
        wait_until(lambda: it.moving() >= 3 or it.count("SELECT count(*) FROM orders") >= it.orders, 120, "work to do")
        it.kill(victim)
    wait_until(lambda: it.count("SELECT count(*) FROM orders") >= it.orders, 300, "all orders are in the book")
    say("all orders are in; now the supervisor itself, with fresh orders on their way")
    it.sandbox("POST", "replay", {"orders": 15, "seconds": 1})
    wait_until(lambda: placed(it) >= it.orders + 15, 60, "fresh orders are placed")
    it.ingest()
    wait_until(lambda: it.moving() >= 3, 120, "fresh orders are on their way")
    assert it.demo is not None
    it.demo.kill()
    it.demo.wait()
    started = time.monotonic()
    subprocess.run(it.command("up"), check=True, timeout=300)
    it.recovered["supervisor"] = round(time.monotonic() - started, 1)
    it.ingest()
    wait_until(lambda: it.count("SELECT count(*) FROM orders") >= it.orders + 15, 300, "fresh orders are in the book")
    wait_until(lambda: it.moving() == 0, 600, "every order is shipped, being paid back, or waits for a reviewer")


def placed(it: Chaos) -> int:
    """Orders on the platforms."""
    return sum(channel["placed"] for channel in it.sandbox("GET", "state")["orders"].values())


def verdict(it: Chaos) -> dict[str, Any]:
    """What was lost, doubled or broken; empty lists are what we promise."""
    counts = {(row["platform"], row["operation"]): row for row in it.sandbox("GET", "counts")}
    shipped = it.count("SELECT count(*) FROM fulfilment WHERE stage IN ('shipped', 'delivered', 'closed')")
    checked = subprocess.run(it.command("check", "--json"), capture_output=True, text=True, timeout=300)
    told = sum(row["effects"] for key, row in counts.items() if key in NOTICES)
    wrong = [f"{key}: {row['keys_twice']} took effect twice" for key, row in counts.items() if doubled(key, row)]
    sums = {
        "orders placed": placed(it),
        "orders in the book": it.count("SELECT count(*) FROM orders"),
        "shipped": shipped,
        "told to channels": told,
        "waybills": counts[("sf", "create_waybill")]["effects"],
        "messages": counts[("aliyun", "SendSms")]["effects"],
        "notified": it.count("SELECT count(*) FROM notification WHERE state = 'sent'"),
        "notified of shipping": it.count("SELECT count(*) FROM notification WHERE state = 'sent' AND node = 'shipped'"),
        "paid back": it.count("SELECT count(*) FROM compensation"),
        "waiting for review": it.count("SELECT count(*) FROM fulfilment WHERE waiting_on = 'review'"),
    }
    if sums["orders placed"] != sums["orders in the book"]:
        wrong.append("orders were lost or doubled on the way into the book")
    if sums["shipped"] + sums["waiting for review"] + sums["paid back"] != sums["orders in the book"]:
        wrong.append("some orders are neither shipped nor paid back nor waiting for a reviewer")
    if len({sums[name] for name in ("shipped", "told to channels", "waybills", "notified of shipping")}) != 1:
        wrong.append("shipped, told, waybills and notified of it are not the same number")
    if sums["messages"] != sums["notified"]:
        wrong.append("messages and notifications are not the same number")
    if checked.returncode != 0:
        wrong.append(f"orderloom check: {checked.stdout[-2000:]}{checked.stderr[-500:]}")
    return {"sums": sums, "seconds_to_recover": it.recovered, "wrong": wrong}


def doubled(key: tuple[str, str], row: dict[str, Any]) -> bool:
    """Whether something that must be told once took effect more often."""
    return key in ONCE and row["keys_twice"] > 0


def run(orders: int, directory: Path) -> dict[str, Any]:
    """Attack a demo in this directory; the verdict. Everything that was started is stopped."""
    it = Chaos(directory, orders)
    try:
        attack(it)
        return verdict(it)
    finally:
        if it.demo is not None and it.demo.poll() is None:
            it.demo.send_signal(signal.SIGINT)  # the supervisor stops everything it started
            it.demo.wait(120)
        subprocess.run(it.command("down"), timeout=180, check=False)


def main() -> int:
    """0 when nothing was lost, doubled or broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="keep the directory with its logs")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="orderloom-chaos-"))
    directory.chmod(0o711)
    say(f"in {directory}")
    try:
        told = run(options.orders, directory)
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return 1 if told["wrong"] else 0
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
