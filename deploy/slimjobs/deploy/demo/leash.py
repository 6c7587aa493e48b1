"""What a child of the demonstration runs: a command of `slimjobs` that ends when its parent does, SIGKILL included.

Its stdin is a pipe of which the parent has the other end, and nobody else. When that ends the child does as `kill -9`
would have it: it promises to bear that, and so nothing of it is in the way of whoever starts the demonstration again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def main() -> None:
    """Run the command that follows the directory on our command line, in that directory."""
    _, directory, *command = sys.argv
    leash = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()
    os.chdir(directory)
    sys.argv = ["slimjobs", *command]
    from slimjobs.deploy import cli  # not before the leash is on: loading it takes a while

    cli.main()


def _end_with(leash: int) -> None:
    os.read(leash, 1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
