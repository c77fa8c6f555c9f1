"""Rendering a chart with the `helm` on the path."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grace_client.core.errors import ProgramMissingError, SpecError
from grace_client.kube.manifests import Manifest, read_manifests

TIMEOUT_S = 120
"""A chart that renders longer than this does not render."""


def program() -> str:
    """Where helm is; ProgramMissingError where it is not installed."""
    helm = shutil.which("helm")
    if helm is None:
        raise ProgramMissingError(
            "helm is not on the PATH, and charts need it: install Helm 3.18 or newer from "
            "https://helm.sh/docs/intro/install, or render elsewhere and check the result: "
            "helm template … | grace policy check -"
        )
    return helm


def template(
    chart: Path,
    *,
    values: Sequence[Path] = (),
    document: Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    only: str | None = None,
    release: str = "grace",
    namespace: str = "grace",
    kube_version: str | None = None,
) -> list[Manifest]:
    """The objects that `helm install` would make, without asking a cluster.

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
        Path of the one template to show.
    release, namespace : str
        What to call the release, and where it would go.
    kube_version : str or None
        The cluster's version; None for the one that this Helm takes for granted.

    Raises
    ------
    SpecError
        Where there is no helm, and where helm refuses, with what helm says.
    """
    command = [program(), "template", release, str(chart), "--namespace", namespace]
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
    try:
        done = subprocess.run(
            command,
            input=json.dumps(document or {}),
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SpecError(f"helm template {chart} did not end within {TIMEOUT_S} s") from None
    if done.returncode:
        raise SpecError(
            f"helm cannot render {chart}: {done.stderr.strip() or f'exit code {done.returncode}'}"
        )
    return read_manifests(done.stdout, f"helm template {chart}", rendered=True)
