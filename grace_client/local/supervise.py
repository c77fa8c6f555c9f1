"""Runs one program that ends when whoever started it is gone, even by a kill that nobody can catch.

``python -I -S leash.py SECONDS PROGRAM [ARGUMENT…]`` runs the program and ends with its exit code. Its own
standard input is a pipe from whoever started it, to which nothing is ever written: when that ends, so does
the whole process group, by SIGTERM, and after so many seconds by SIGKILL.

Only the standard library, and by its path: it starts as fast as Python does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time


def main() -> None:
    """See above."""
    patience, command = float(sys.argv[1]), sys.argv[2:]
    if os.getpgrp() != os.getpid():
        # Never that of whoever started this.
        os.setpgid(0, 0)
    # Signals to the group are for the program, which has its own way to end; a handler is not inherited.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"grace: cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)
    alone = threading.Event()

    def watch() -> None:
        os.read(0, 1)
        alone.set()
        os.killpg(0, signal.SIGTERM)
        time.sleep(patience)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    if alone.is_set():
        # What it started in its turn may not have heard.
        os.killpg(0, signal.SIGKILL)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
