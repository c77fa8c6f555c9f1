"""The helm program: where it is, how it is called, and charts rendered by it.

Releases are changed through pyhelm3 (`deploy.release`), whose calls come here too. Rendering is a call of its
own: pyhelm3 cannot render one template or take values files, and checking a chart must not need pyhelm3.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grace_client.core.errors import ProgramMissingError, ReleaseTimeoutError, SpecError
from grace_client.kube import process
from grace_client.kube.manifests import KubeObject, read_manifests

TIMEOUT_S = 120
"""A chart that takes longer than this to render does not render."""


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
    """Run helm to its end, whatever its exit code.

    Raises
    ------
    ProgramMissingError
        If helm is not on the PATH.
    ReleaseTimeoutError
        If helm did not end within `timeout` seconds.
    """
    try:
        return await process.run([program(), *arguments], stdin=stdin, timeout=timeout)
    except TimeoutError:
        raise ReleaseTimeoutError(f"helm {arguments[0]} did not end within {timeout:g} s") from None


async def template(
    chart: Path,
    *,
    values: Sequence[Path] = (),
    document: Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
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
    sets : sequence of str
        Single values, `KEY=VALUE`, which win over both.
    only : str or None
        Path of the one template to render.
    release, namespace : str
        Name of the release, and its namespace.
    kube_version : str or None
        The cluster's version; None for the one that this Helm assumes.

    Raises
    ------
    SpecError
        If there is no helm, and if helm refuses the chart, with helm's words.
    """
    command = ["template", release, str(chart), "--namespace", namespace]
    for file in values:
        command += ["--values", str(file)]
    if document is not None:
        command += ["--values", "-"]
    for assignment in sets:
        command += ["--set", assignment]
    if only:
        command += ["--show-only", only]
    if kube_version:
        command += ["--kube-version", kube_version]
    done = await call(command, stdin=json.dumps(document or {}).encode(), timeout=TIMEOUT_S)
    if done.code:
        why = done.err.decode(errors="replace").strip() or f"exit code {done.code}"
        raise SpecError(f"helm cannot render {chart}: {why}")
    return read_manifests(done.out.decode(), f"helm template {chart}", rendered=True)
