"""Named places where a test may kill the process, to prove that nothing is lost or told twice there.

`ORDERLOOM_KILL_AT=effect.called:waybill` kills the process the first time it passes that point; a count after
`#` picks a later pass. In normal life the check is one dictionary look-up.
"""

from __future__ import annotations

import os
import signal

_passes: dict[str, int] = {}
_target, _, _count = os.environ.get("ORDERLOOM_KILL_AT", "").partition("#")


def point(name: str) -> None:
    """Pass the fault point `name`; die here (SIGKILL, no clean-up) if a test asked for it."""
    if not _target or name != _target:
        return
    _passes[name] = _passes.get(name, 0) + 1
    if _passes[name] >= int(_count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
