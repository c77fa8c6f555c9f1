"""Renders the chart with the real helm, and finds things in what comes out."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.conftest import ROOT

if not os.environ.get("GRACE_TEST_TOOLS"):
    pytest.skip("GRACE_TEST_TOOLS names no folder with helm (scripts/test does)", allow_module_level=True)

TOOLS = Path(os.environ["GRACE_TEST_TOOLS"])
# A helm that ends within a second need not free memory: it takes a third less of the processor.
ENVIRONMENT = os.environ | {"GOGC": "off"}
CHART = ROOT / "charts" / "grace"
VALUES = ROOT / "values"
MODELS = sorted(path.stem for path in VALUES.glob("*.yaml"))
OVERLAYS = sorted(path.stem for path in (VALUES / "gpus").glob("*.yaml"))
HELMS = ("helm", "helm3")
"""Helm 4 and Helm 3."""
NEWEST = str(kubernetes_validate.latest_version())
NAMESPACE = "lab"

Object = dict[str, Any]

kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


class RefusedError(Exception):
    """What helm said when it refused."""


def overlay(name: str) -> Path:
    return VALUES / "gpus" / f"{name}.yaml"


def run(helm: str, *arguments: str | Path, stdin: str = "") -> str:
    done = subprocess.run(
        [TOOLS / helm, *arguments], input=stdin, capture_output=True, text=True, timeout=120, env=ENVIRONMENT
    )
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


def template(
    *files: Path,
    values: str = "{}",
    helm: str = "helm",
    kube: str = "1.29",
    release: str = "",
    namespace: str = NAMESPACE,
    options: tuple[str, ...] = (),
) -> str:
    """What `helm template` prints; the release is named as the first file is."""
    arguments = [part for file in files for part in ("-f", str(file))]
    release = release or (files[0].stem if files else "x")
    common = ("template", release, str(CHART), "-n", namespace, "--kube-version", kube)
    return printed(helm, *common, *arguments, "-f", "-", *options, stdin=values)


printed = functools.cache(run)


def render(*files: Path, **more: Any) -> list[Object]:
    """The objects; `values` may be a mapping, and lies over the files."""
    if isinstance(more.get("values"), dict):
        more["values"] = json.dumps(more["values"])
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(template(*files, **more), loader) if document]


def of(objects: list[Object], kind: str, component: str | None = None) -> list[Object]:
    """The objects of a kind, and of a component."""
    return [
        o
        for o in objects
        if o["kind"] == kind
        and component in (None, o["metadata"]["labels"].get("app.kubernetes.io/component"))
    ]


def one(objects: list[Object], kind: str, component: str | None = None) -> Object:
    (found,) = of(objects, kind, component)
    return found


def pods(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Every object that makes pods, and its pod template."""
    for o in objects:
        if o["kind"] in ("Deployment", "Job"):
            yield o, o["spec"]["template"]


def containers(pod: Object) -> list[Object]:
    """Every container of a pod template, init containers first."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def args(container: Object) -> dict[str, str]:
    """The `--name=value` arguments."""
    pairs = (a.removeprefix("--").partition("=") for a in container["args"] if a.startswith("--"))
    return {name: value for name, _, value in pairs if name != "declare"}


def validate(o: Object, version: str) -> None:
    """Hold an object against the strict schema of a Kubernetes version."""
    kubernetes_validate.validate(o, version, strict=True)
