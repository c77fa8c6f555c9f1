"""Runs one program, and ends it when the process that started it has ended, also by SIGKILL.

``python -I -S supervise.py SECONDS PROGRAM [ARGUMENT…]`` runs the program and ends with its exit code. Its
own standard input is a pipe from the process that started it. Nothing is written to that pipe: when it
closes, the whole process group gets SIGTERM, and after so many seconds SIGKILL.

It uses only the standard library and is started by its path, so it starts as fast as Python does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time


def main() -> None:
    """Run as a program: see the module."""
    patience, command = float(sys.argv[1]), sys.argv[2:]
    if os.getpgrp() != os.getpid():
        # The group that is ended is this process's own, never that of the process that started it.
        os.setpgid(0, 0)
    # A signal to the group is for the program, which ends in its own way. It does not inherit this handler.
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
        # The program's own children may have ignored SIGTERM.
        os.killpg(0, signal.SIGKILL)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
