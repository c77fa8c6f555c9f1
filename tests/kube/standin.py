"""Stands in for kubectl and helm: writes down how it was called, and answers as it was told.

As a program it is put on the PATH under both names by `Tools`. `answers.json` beside it holds rules in order;
the first whose pattern is found in the command line answers. `exec` is answered by the real reader.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = "STANDIN"
"""Environment variable with the folder of answers, calls and claims."""

Json = dict[str, Any]


@dataclass
class Tools:
    """Both programs in a folder, and what they are to answer.

    Attributes
    ----------
    folder : Path
        Put on the PATH; `claims` in it stands for the pod's root.
    """

    folder: Path
    rules: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in "kubectl", "helm":
            program = self.folder / name
            program.write_text(f"#!{sys.executable} -S\n{Path(__file__).read_text()}")
            program.chmod(0o755)
        (self.folder / "claims").mkdir()
        self._save()

    def answer(
        self,
        pattern: str,
        out: object = "",
        *,
        err: str = "",
        code: int = 0,
        hang: str = "",
        cut: int = 0,
        times: int = 0,
    ) -> None:
        """Add a rule; later ones win.

        Parameters
        ----------
        pattern : str
            Searched for in the program's name and arguments.
        out : object
            Printed; as JSON where it is no text.
        err, code : str, int
            Complaint and exit code.
        hang : str
            ``"polite"`` waits until it is told to end, ``"deaf"`` does not hear that.
        cut : int
            Of `exec`: bytes after which the connection breaks off.
        times : int
            How often the rule holds; 0 for ever.
        """
        rule = {"pattern": pattern, "out": out if isinstance(out, str) else json.dumps(out), "err": err}
        self.rules.insert(0, rule | {"code": code, "hang": hang, "cut": cut, "times": times, "used": 0})
        self._save()

    def calls(self, pattern: str = "") -> list[str]:
        """Command lines so far."""
        log = self.folder / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if re.search(pattern, line)]

    def stdin(self) -> list[str]:
        """What was given on standard input or in a patch file, in order."""
        return [path.read_text() for path in sorted(self.folder.glob("stdin-*"))]

    def _save(self) -> None:
        (self.folder / "answers.json").write_text(json.dumps(self.rules))


def main() -> None:
    """Answer one call."""
    here = Path(os.environ[HERE])
    line = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    given = sys.stdin.read() if not sys.stdin.isatty() and "exec" not in sys.argv else ""
    if "--patch-file" in sys.argv:
        given = Path(sys.argv[sys.argv.index("--patch-file") + 1]).read_text()
    if given:
        (here / f"stdin-{len(list(here.glob('stdin-*'))):03}").write_text(given)
    with (here / "calls").open("a") as log:
        log.write(line + "\n")
    rules = json.loads((here / "answers.json").read_text())
    rule = next(
        rule
        for rule in rules
        if re.search(rule["pattern"], line) and (not rule["times"] or rule["used"] < rule["times"])
    )
    rule["used"] += 1
    (here / "answers.json").write_text(json.dumps(rules))
    sys.stdout.write(rule["out"])
    sys.stderr.write(rule["err"])
    sys.stdout.flush()
    if rule["hang"]:
        (here / "pid").write_text(str(os.getpid()))
        if rule["hang"] == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pause()
    if "exec" in sys.argv and not rule["code"]:
        serve(here, rule["cut"])
    sys.exit(rule["code"])


def serve(here: Path, cut: int) -> None:
    """Run the reader; break off after `cut` bytes of its answers."""
    command = [
        sys.executable,
        *sys.argv[sys.argv.index("--") + 2 :],
        f"--root={here / 'claims'}",
    ]
    if not cut:
        os.execv(sys.executable, command)
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
