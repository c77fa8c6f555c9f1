"""What `Tools` puts on the PATH as kubectl and helm."""

# ruff: noqa: PTH123, PTH208
# Pathlib takes longer to import than the rest to run, and tests start this very often.

import json
import os
import re
import signal
import sys

HERE = "STANDIN"
"""Environment variable with the folder of answers, calls and claims."""


def main() -> None:
    """Answer one call."""
    here = os.environ[HERE]
    line = " ".join([sys.argv[0].rpartition("/")[2], *sys.argv[1:]])
    given = sys.stdin.read() if not sys.stdin.isatty() and "exec" not in sys.argv else ""
    if "--patch-file" in sys.argv:
        given = _read(sys.argv[sys.argv.index("--patch-file") + 1])
    if given:
        count = sum(name.startswith("stdin-") for name in os.listdir(here))
        _write(f"{here}/stdin-{count:03}", given)
    _write(f"{here}/calls", f"{line}\n", "a")
    rules = json.loads(_read(f"{here}/answers.json"))
    rule = next(
        rule
        for rule in rules
        if re.search(rule["pattern"], line) and (not rule["times"] or rule["used"] < rule["times"])
    )
    rule["used"] += 1
    _write(f"{here}/answers.json", json.dumps(rules))
    sys.stdout.write(rule["out"])
    sys.stderr.write(rule["err"])
    sys.stdout.flush()
    if rule["hang"]:
        _write(f"{here}/pid", str(os.getpid()))
        if rule["hang"] == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pause()
    if "exec" in sys.argv and not rule["code"]:
        serve(here, rule["cut"])
    sys.exit(rule["code"])


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, text: str, mode: str = "w") -> None:
    with open(path, mode) as file:
        file.write(text)


def serve(here: str, cut: int) -> None:
    """Run the reader; break off after `cut` bytes of its answers."""
    command = [sys.executable, *sys.argv[sys.argv.index("--") + 2 :], f"--root={here}/claims"]
    if not cut:
        os.execv(sys.executable, command)
    import subprocess

    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
        assert reader.stdout
        while cut > 0 and (data := os.read(reader.stdout.fileno(), min(cut, 1 << 16))):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            cut -= len(data)
        reader.kill()
    sys.stderr.write("error: unexpected EOF\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
