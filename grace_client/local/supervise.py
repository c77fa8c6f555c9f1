"""Runs one program that ends when its caller has ended, even if a SIGKILL ended the caller.

``python -I -S supervise.py SECONDS PROGRAM [ARGUMENT…]`` runs the program and ends with its exit code. Its
own standard input is a pipe from the caller, who writes nothing to it. When the pipe closes, the process
group gets SIGTERM, and SIGKILL after `SECONDS`.

`kube.process` ends programs while the caller lives; this cannot use it, as the caller has ended. Only the
standard library, and run by its path: it starts as fast as Python does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time


def main() -> None:
    """Run the program of the command line."""
    patience, command = float(sys.argv[1]), sys.argv[2:]
    if os.getpgrp() != os.getpid():
        # Never the group of the caller.
        os.setpgid(0, 0)
    # Signals to the group are meant for the program; it does not inherit these handlers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"grace: cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)
    orphaned = threading.Event()

    def watch() -> None:
        os.read(0, 1)
        orphaned.set()
        os.killpg(0, signal.SIGTERM)
        time.sleep(patience)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    if orphaned.is_set():
        # The programs that it started may ignore SIGTERM.
        os.killpg(0, signal.SIGKILL)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
