"""The lowest priority there is, for processes that work beside a server."""

import os
from contextlib import suppress

_LOWEST_PRIORITY = 19


def give_way() -> None:
    """Let whatever else wants a core have it, at once. Holds for what this thread starts as well: call it first.

    Nice 19 alone still gets a sixtieth of a busy core, in slices that others wait for. SCHED_IDLE (Linux) gets what is
    left over, and its reads and writes wait for those of others too. Both weigh only against processes of the same
    session, where a session is a group to the scheduler (autogroup): so start no session. See sched(7).
    """
    os.nice(_LOWEST_PRIORITY)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(PermissionError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
