"""Finds and runs the helm program, and renders charts with it.

Releases are changed through pyhelm3 (`deploy.release`), whose calls come here too. Rendering is a call of its
own: pyhelm3 cannot render one template or take values files, and checking a chart must not need pyhelm3.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from grace_client.core.errors import ProgramMissingError, ReleaseTimeoutError, SpecError, refused
from grace_client.kube import process
from grace_client.kube.manifests import KubeObject, read_manifests

TIMEOUT_S = 120
"""Seconds that helm has to render a chart."""

_PRINTING_CHART = {
    "Chart.yaml": "apiVersion: v2\nname: values\nversion: 0.0.0\n",
    "templates/values.yaml": "values: {{ .Values | toJson }}\n",
}
"""A chart that prints its values. It shows how helm reads them."""


@dataclass(frozen=True, slots=True)
class Assignments:
    """Single values that win over values files, as helm's `--set`, `--set-string` and `--set-file` take them.

    Only helm interprets them.

    Attributes
    ----------
    values, strings : tuple of str
        `KEY=VALUE` as on the command line, of `--set` and of `--set-string`.
    files : tuple of (str, str)
        Key, and text of the file: the campaign's next process may run on a machine without the file.
    """

    values: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls, values: Sequence[str] | None, strings: Sequence[str] | None, files: Sequence[str] | None
    ) -> Assignments:
        """From the values of the options; SpecError for a file that cannot be read."""
        return cls(tuple(values or ()), tuple(strings or ()), tuple(map(_text_of, files or ())))

    def options(self, folder: Path) -> list[str]:
        """Helm's options; texts of files are written into `folder`, which must exist while helm runs."""
        found = [word for value in self.values for word in ("--set", value)]
        found += [word for value in self.strings for word in ("--set-string", value)]
        for number, (key, text) in enumerate(self.files):
            file = folder / f"{number}.txt"
            file.write_bytes(text.encode())
            found += ["--set-file", f"{key}={file}"]
        return found


NO_ASSIGNMENTS = Assignments()


def _text_of(assignment: str) -> tuple[str, str]:
    key, equals, path = assignment.partition("=")
    if not equals:
        raise SpecError(f"--set-file {assignment}: expected KEY=FILE, such as queries.trials.study1=list.csv")
    try:
        return key, Path(path).read_bytes().decode()
    except OSError as error:
        raise refused(error, path) from None
    except UnicodeDecodeError as error:
        raise SpecError(f"--set-file {assignment}: the file is not UTF-8 text: {error}") from None


def program() -> str:
    """Path of helm; ProgramMissingError if it is not on the PATH."""
    helm = shutil.which("helm")
    if helm is None:
        raise ProgramMissingError(
            "helm is not on the PATH, and charts need it. Install Helm 3.18 or newer from "
            "https://helm.sh/docs/intro/install, or render the chart elsewhere and check the result: "
            "helm template … | grace policy check -"
        )
    return helm


async def call(arguments: Sequence[str], *, stdin: bytes | None = None, timeout: float) -> process.Completed:
    """Run helm to its end, with any exit code.

    Raises
    ------
    ProgramMissingError
        If helm is not on the PATH.
    ReleaseTimeoutError
        If helm takes longer than `timeout` seconds.
    """
    try:
        return await process.run([program(), *arguments], stdin=stdin, timeout=timeout)
    except TimeoutError:
        raise ReleaseTimeoutError(f"helm {arguments[0]} took longer than {timeout:g} s") from None


async def template(
    chart: Path,
    *,
    values: Sequence[Path] = (),
    document: Mapping[str, Any] | None = None,
    assignments: Assignments = NO_ASSIGNMENTS,
    only: str | None = None,
    release: str = "grace",
    namespace: str = "grace",
    kube_version: str | None = None,
) -> list[KubeObject]:
    """The objects that `helm install` would create, without asking a cluster.

    Parameters
    ----------
    chart : Path
        The chart's folder, or a packaged chart.
    values : sequence of Path
        Values files in Helm's order: later ones win.
    document : mapping or None
        Values that win over files.
    assignments : Assignments
        Single values, which win over both.
    only : str or None
        Path of the one template to render.
    release, namespace : str
        Name of the release, and its namespace.
    kube_version : str or None
        The cluster's version; None for the one that this Helm assumes.

    Raises
    ------
    SpecError
        If helm is missing, or if helm refuses the chart; with helm's message.
    """
    command = ["template", release, str(chart), "--namespace", namespace]
    for file in values:
        command += ["--values", str(file)]
    if document is not None:
        command += ["--values", "-"]
    if only:
        command += ["--show-only", only]
    if kube_version:
        command += ["--kube-version", kube_version]
    with TemporaryDirectory() as folder:
        command += assignments.options(Path(folder))
        done = await call(command, stdin=json.dumps(document or {}).encode(), timeout=TIMEOUT_S)
    if done.code:
        why = done.err.decode(errors="replace").strip() or f"exit code {done.code}"
        raise SpecError(f"helm cannot render {chart}: {why}")
    return read_manifests(done.out.decode(), f"helm template {chart}", rendered=True)


def assign(document: Mapping[str, Any], assignments: Assignments) -> dict[str, Any]:
    """A values document with single values over it, as helm reads them; nulls stay.

    Helm needs about 0.1 s, so this call is not asynchronous.

    Raises
    ------
    SpecError
        If helm is missing, or if helm refuses an assignment; with helm's message.
    """
    found: dict[str, Any] = json.loads(_assigned(json.dumps(document), assignments))
    return found


@lru_cache
def _assigned(document: str, assignments: Assignments) -> str:
    with TemporaryDirectory() as name:
        chart = Path(name, "chart")
        for path, text in _PRINTING_CHART.items():
            (chart / path).parent.mkdir(parents=True, exist_ok=True)
            (chart / path).write_text(text, encoding="utf-8")
        command = [program(), "template", "x", str(chart), "--values", "-", *assignments.options(Path(name))]
        try:
            done = subprocess.run(
                command, input=document.encode(), capture_output=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise ReleaseTimeoutError(f"helm template took longer than {TIMEOUT_S} s") from None
    if done.returncode:
        raise SpecError(f"helm refuses these values: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode().partition("values: ")[2]
