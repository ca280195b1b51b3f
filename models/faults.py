"""Named places where a test may kill the process, to prove that nothing is lost or told twice there.

`ORDERLOOM_KILL_AT=called:waybill` kills the process the first time it passes that point; a count after `#` picks a
later pass (`committed#7`: right after the seventh transaction). In normal life the check is one look-up. Every point
is found in the sources and tried by `tests/e2e/test_kill_points.py`.
"""

from __future__ import annotations

import os
import signal
import threading

_passes: dict[str, int] = {}
_counting = threading.Lock()


def point(name: str) -> None:
    """Pass the fault point `name`; die here (SIGKILL, no clean-up) if a test asked for it."""
    wanted = os.environ.get("ORDERLOOM_KILL_AT")
    if not wanted:
        return
    target, _, count = wanted.partition("#")
    if name != target:
        return
    with _counting:  # transactions pass here from several threads
        _passes[name] = _passes.get(name, 0) + 1
        if _passes[name] >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
