"""`make bench`: run the benchmarks and write what they measured into `README.md` beside this file.

python -m tests.benchmarks [--quick] [NAME …]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.report import say

HERE = Path(__file__).parent
#: Every benchmark, in the order of the table.
NAMES = ("lane", "footprint", "reservation", "claim", "oversell", "intake", "webhooks", "rules", "growth")
FIGURES = HERE / "figures.json"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"


def main() -> int:
    """0 when every benchmark that was asked for gave its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}; all without one")
    parser.add_argument("--quick", action="store_true", help="at most five minutes each")
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    figures: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    failed = []
    for name in asked.names or NAMES:
        say(f"benchmark {name}")
        command = [
            sys.executable,
            "-m",
            f"tests.benchmarks.{name}",
            "--json",
            "-",
            *(["--quick"] if asked.quick else []),
        ]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if told.returncode == 0:
            figures[name] = json.loads(told.stdout)
        else:
            failed.append(name)
    FIGURES.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_table(figures)
    for name in failed:
        say(f"benchmark {name} gave no figures")
    return int(bool(failed))


def write_table(figures: dict[str, Any]) -> None:
    """Put the figures between the two marks in README.md."""
    file = HERE / "README.md"
    text = file.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    file.write_text(f"{before}{BEGIN}\n\n{render(figures)}\n{END}{after}", encoding="utf-8")


def render(figures: dict[str, Any]) -> str:
    """One table for each benchmark."""
    parts = []
    for name in (name for name in NAMES if name in figures):
        told = dict(figures[name])
        machine = told.pop("measured_on", {})
        how = "quick" if told.pop("quick", False) else "full"
        told.pop("name", None)
        curves = {key: value for key, value in told.items() if _is_curve(value)}
        rows = "\n".join(f"| `{key}` | {_cell(value)} |" for key, value in told.items() if key not in curves)
        where = f"{how} run, {machine.get('cores')} cores, Python {machine.get('python')}"
        tables = "".join(f"\n{_curve(key, curve)}" for key, curve in curves.items())
        parts.append(f"### {name}\n\n{where}\n\n| key | figure |\n|---|---|\n{rows}\n{tables}")
    return "\n".join(parts)


def _is_curve(value: Any) -> bool:
    """Whether this is several figures at each of several points: a table of its own."""
    if not isinstance(value, dict) or len(value) < 3 or not all(isinstance(point, dict) for point in value.values()):
        return False
    return len({tuple(point) for point in value.values()}) == 1


def _curve(key: str, points: dict[str, dict[str, Any]]) -> str:
    names = list(next(iter(points.values())))
    head = f"| `{key}` | {' | '.join(f'`{name}`' for name in names)} |\n|---|{'---|' * len(names)}\n"
    return head + "".join(
        f"| {at} | {' | '.join(_cell(point[name], ', ') for name in names)} |\n" for at, point in points.items()
    )


def _cell(value: Any, between: str = "<br>") -> str:
    if isinstance(value, dict):
        return between.join(f"{key}: {_cell(inner, '; ')}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(inner) for inner in value)
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
