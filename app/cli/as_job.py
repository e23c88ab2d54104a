"""`python -m app.cli.as_job COMMAND ...`: a command of `octet` as a job of a server.

It runs at the lowest priority, in a process group of its own, which ends when its standard input does: a server that is
killed leaves none behind.
"""

import os
import signal
import threading

from app.cli.main import main
from engines.background import give_way


def _end_with_the_server() -> None:
    """Wait for the end of the pipe. What hangs in native code cannot be asked to stop, so nothing is asked."""
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    os.setpgid(0, 0)
    give_way()
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    main()
