"""Every model, on every GPU, under both Helms."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from typing import Any

import pytest
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from tests.chart.helm import (
    CHART,
    HELMS,
    MODELS,
    NEWEST,
    OVERLAYS,
    VALUES,
    Object,
    RefusedError,
    args,
    containers,
    of,
    one,
    overlay,
    pods,
    render,
    template,
    validate,
)
from tests.conftest import ROOT

PAIRS = [(model, gpu) for model in MODELS for gpu in (None, *OVERLAYS)]
RULES = yaml.safe_load((ROOT / "charts" / "lintconf.yaml").read_text())["rules"]
# Helm 4 ends what it prints with an empty line.
LINT = YamlLintConfig(json.dumps({"rules": {**RULES, "empty-lines": {**RULES["empty-lines"], "max-end": 1}}}))
_seen: set[str] = set()


def files(model: str, gpu: str | None) -> list[Any]:
    return [VALUES / f"{model}.yaml", *([overlay(gpu)] if gpu else [])]


def settings(model: str, gpu: str | None) -> dict[str, Any]:
    """The values of a model on a GPU, over the chart's defaults, as Helm merges them."""

    def merge(below: Any, above: Any) -> Any:
        if isinstance(below, dict) and isinstance(above, dict):
            return {k: merge(below.get(k), above[k]) if k in above else below[k] for k in {**below, **above}}
        return above

    merged: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    for file in files(model, gpu):
        merged = merge(merged, yaml.safe_load(file.read_text()))
    return merged


def refusal(model: str, gpu: str | None) -> str | None:
    """Why a model cannot run on a GPU, by the figures in its values."""
    values = settings(model, gpu)
    told, hardware = values["model"], values["gpu"]
    if not hardware["bfloat16"] and told["dtype"] in ("auto", "bfloat16"):
        return "set model.dtype to float16" if told["float16"] else "needs bfloat16; choose another GPU"
    decimal = {
        k: Fraction(str(hardware[k])) for k in ("count", "memoryGiB", "memoryUtilization", "reserveGiB")
    }
    usable = decimal["count"] * decimal["memoryGiB"] * decimal["memoryUtilization"]
    needed = Fraction(str(told["weightsGiB"])) + decimal["count"] * decimal["reserveGiB"]
    if needed > usable:
        return f"needs {float(needed):.1f} GiB"
    return None


def validated(o: Object) -> None:
    """Hold an object against both versions, once for equal ones."""
    text = json.dumps(o, sort_keys=True)
    if text not in _seen:
        for version in ("1.29", NEWEST):
            validate(o, version)
        _seen.add(text)


@pytest.mark.parametrize(("model", "gpu"), PAIRS)
def test_a_model_renders_where_it_can_run_and_is_refused_where_not(model: str, gpu: str | None) -> None:
    """Valid against the strict schemas and well-formed under both Helms, or refused with the figures."""
    why = refusal(model, gpu)
    for helm in HELMS:
        if why:
            with pytest.raises(RefusedError, match=re.escape(why)):
                render(*files(model, gpu), helm=helm)
            continue
        objects = render(*files(model, gpu), helm=helm)
        for o in objects:
            validated(o)
        if helm == HELMS[0] and gpu is None:  # a GPU changes values, not the form
            assert not [str(problem) for problem in linter.run(template(*files(model, gpu)), LINT)]
        asked = settings(model, gpu)["gpu"]
        (server,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
        assert server["resources"]["limits"][asked["resource"]] == str(asked["count"])


def test_some_model_runs_on_every_gpu_and_some_is_refused() -> None:
    """The fallbacks are of use, and not every pair passes."""
    for gpu in OVERLAYS:
        assert any(refusal(model, gpu) for model in MODELS)
    assert {gpu for model, gpu in PAIRS if not refusal(model, gpu)} == {None, *OVERLAYS} - {"v100"}
    objects = render(VALUES / "llama-8b.yaml", overlay("v100"), values={"model": {"dtype": "float16"}})
    assert "--dtype=float16" in containers(one(objects, "Deployment")["spec"]["template"])[1]["args"]


@pytest.mark.parametrize("model", MODELS)
def test_both_helms_render_the_same(model: str) -> None:
    """Every object, and nothing in it is drawn."""
    both = [render(VALUES / f"{model}.yaml", helm=helm) for helm in HELMS]
    by_name = [{(o["kind"], o["metadata"]["name"]): o for o in objects} for objects in both]
    assert by_name[0] == by_name[1]


@pytest.mark.parametrize("model", MODELS)
def test_the_start_up_budget_covers_the_weights(model: str) -> None:
    """At 15 MB/s from the block storage, in both modes, and clients and Helm wait for longer than that."""
    seconds = settings(model, None)["model"]["weightsGiB"] * 2**30 / 15e6
    for kind in ("Deployment", "Job"):
        objects = render(VALUES / f"{model}.yaml", values={"server": {"kind": kind}})
        (pod,) = [t for o, t in pods(of(objects, kind, "server"))]
        server = next(c for c in containers(pod) if c["name"] == "server")
        probe = server["startupProbe"]
        budget = probe["periodSeconds"] * probe["failureThreshold"]
        assert budget >= math.ceil(seconds)
        clients = [c for o, t in pods(objects) for c in containers(t) if (c.get("args") or [""])[0] == "run"]
        assert len(clients) == 4
        for client in clients:
            wait = 60 * int(args(client)["wait-for-server"])
            # The download comes before the start, at the same rate.
            assert wait >= seconds + budget
    progress = one(render(VALUES / f"{model}.yaml"), "Deployment")["spec"]["progressDeadlineSeconds"]
    assert progress >= seconds + budget


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
@pytest.mark.parametrize("model", MODELS)
def test_nothing_sleeps_floats_or_tells_a_secret(model: str, kind: str) -> None:
    """No `latest`, no sleep, no secret's literal; only what stops the server talks to the API server."""
    objects = render(VALUES / f"{model}.yaml", values={"server": {"kind": kind}, "files": {"enabled": True}})
    text = template(VALUES / f"{model}.yaml", values=json.dumps({"server": {"kind": kind}}))
    assert not re.search(r"\bsleep\b|:latest\b|tail -f|\bhf_[A-Za-z0-9]{10}", text)
    seen = 0
    for o, pod in pods(objects):
        stops = o["metadata"]["labels"]["app.kubernetes.io/component"] == "autostop"
        assert pod["spec"]["automountServiceAccountToken"] is stops
        assert ("serviceAccountName" in pod["spec"]) is stops
        for container in containers(pod):
            assert re.fullmatch(r"[^:@]+:[^:@]+(@sha256:[0-9a-f]{64})?", container["image"])
            for variable in container.get("env", []):
                if re.search(r"TOKEN|SECRET|PASSWORD|KEY", variable["name"]):
                    assert set(variable) == {"name", "valueFrom"}
                    seen += "secretKeyRef" in variable["valueFrom"]
    assert seen >= 1


@pytest.mark.parametrize("model", MODELS)
def test_the_table_of_the_study_is_kept(model: str) -> None:
    """Limits, claims and GPUs are those that the study was planned with."""
    planned = {
        "gemma-2b": (1, "8", "9.6", "32Gi", "38Gi", "10Gi"),
        "gemma-9b": (1, "16", "19", "64Gi", "76Gi", "25Gi"),
        "gemma-27b": (2, "32", "38", "128Gi", "153Gi", "70Gi"),
        "llama-70b": (2, "32", "38", "192Gi", "230Gi", "160Gi"),
        "gpt-oss-20b": (1, "16", "19", "64Gi", "76Gi", "15Gi"),
        "gpt-oss-120b": (2, "32", "38", "128Gi", "153Gi", "70Gi"),
        "llama-3b": (1, "8", "9.6", "32Gi", "38Gi", "12Gi"),
        "llama-8b": (1, "16", "19", "64Gi", "76Gi", "25Gi"),
    }[model]
    objects = render(VALUES / f"{model}.yaml")
    (server,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    limits, requests = server["resources"]["limits"], server["resources"]["requests"]
    gpus = int(args(server)["tensor-parallel-size"])
    claim = one(objects, "PersistentVolumeClaim", "weights")["spec"]["resources"]["requests"]["storage"]
    assert (gpus, requests["cpu"], limits["cpu"], requests["memory"], limits["memory"], claim) == planned
    assert args(server)["max-model-len"] == ("8192" if model.startswith("gpt-oss") else "4096")
    assert args(server)["gpu-memory-utilization"] == ("0.92" if model == "llama-70b" else "0.9")
