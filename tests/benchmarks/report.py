"""How a benchmark is run from the command line, and how its figures are written."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """`quick` fits in five minutes on two slow cores."""

    quick: bool


def say(sentence: str) -> None:
    """Progress, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


def run(name: str, measure: Callable[[Options], dict[str, Any]]) -> None:
    """Read the options, measure, and write one JSON object."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{name}")
    parser.add_argument("--quick", action="store_true", help="at most five minutes")
    parser.add_argument("--json", default="-", help="file for the figures; - for standard output")
    asked = parser.parse_args()
    # ended by a time-out it must end its parts too: they have sessions of their own
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    figures = measure(Options(asked.quick))
    cpu = {"cores": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
    told = json.dumps({"name": name, "quick": asked.quick, **figures, "measured_on": cpu}, indent=2, ensure_ascii=False)
    if asked.json == "-":
        sys.stdout.write(told + "\n")
    else:
        Path(asked.json).write_text(told + "\n", encoding="utf-8")
