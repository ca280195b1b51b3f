"""One of the processes that a try-out is done by: rules on the first line, then orders in, counts out, line by line.

It ends when nothing more comes, so it never outlives the one who started it. It imports the domain only (half a second;
Prefect would take several), and lets the lane go first.
"""

from __future__ import annotations

import json
import os
import sys

from models.tryout import PastOrder, Rules, Trial
from models.tryout_tally import Tally

#: Steps that this process stands behind the others of the machine: orders do not wait for somebody who tries rules.
NICER = 5


def main() -> None:
    """Answer until the input ends. Raises what the rules raise when they cannot be read."""
    os.nice(NICER)
    trial = Trial(Rules(**json.loads(sys.stdin.readline())))
    for line in sys.stdin:
        tally = Tally()
        for told in json.loads(line):
            order = PastOrder(**told)
            tally.count(order, trial.look(order))
        sys.stdout.write(json.dumps(tally.plain()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
