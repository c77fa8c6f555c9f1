"""Stands in for kubectl and helm: writes down how it was called, and answers as it was told.

`Tools` puts `program.py` on the PATH under both names. `answers.json` beside it holds rules in order; the
first whose pattern is found in the command line answers. `exec` is answered by the real reader.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
        text = Path(__file__).with_name("program.py").read_text()
        for name in "kubectl", "helm":
            program = self.folder / name
            program.write_text(f"#!{sys.executable} -S\n{text}")
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
