"""`grace campaign plan`, and what the other verbs refuse before they touch anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grace_client import cli
from grace_client.cli.campaign.commands import app
from grace_client.core.errors import GraceError
from grace_client.deploy.values import models, values_folder
from tests.conftest import ROOT
from tests.support import own_study

LIST = ROOT / "data" / "study1.csv"
TOOLS = os.environ.get("GRACE_TEST_TOOLS", "")
NO_TOOLS = str(Path(sys.executable).parent)
"""A PATH on which there is neither helm nor kubectl."""


def grace(*arguments: str, path: str = NO_TOOLS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "grace_client", "campaign", *arguments],
        cwd=ROOT,
        env=os.environ | {"PATH": path, "KUBECONFIG": os.devnull},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.skipif(not TOOLS, reason="GRACE_TEST_TOOLS names no folder with helm (scripts/test does)")
def test_the_studys_plan() -> None:
    """Six models, within 216 GPU-hours, 2 GPUs at a time, every finding of the rules, none an error."""
    done = grace("plan", "--json", path=f"{TOOLS}:{NO_TOOLS}")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert len(plan["models"]) == 6 and plan["fits"]
    assert plan["gpu_hours"] <= 216 == plan["worst_gpu_hours"] and plan["peak_gpus"] == 2
    assert plan["gpu_hours"] == pytest.approx(sum(m["gpus"] * m["hours"] for m in plan["models"]))
    assert plan["at_once_gpu_hours"] == pytest.approx(9 * max(m["hours"] for m in plan["models"]))
    for model in plan["models"]:
        assert model["errors"] == 0
        assert any(finding.startswith("note P7") for finding in model["findings"])


@pytest.mark.skipif(not TOOLS, reason="GRACE_TEST_TOOLS names no folder with helm (scripts/test does)")
def test_a_model_that_does_not_fit_other_gpus_is_refused() -> None:
    """In the chart's words, exit code 2; what does fit is estimated with the other GPU's peaks."""
    done = grace("plan", "--models", "gemma-2b,llama-70b", "--gpu", "rtx-3090", path=f"{TOOLS}:{NO_TOOLS}")
    assert done.returncode == 2
    assert "NVIDIA-GeForce-RTX-3090" in done.stdout
    assert "needs 137.5 GiB" in done.stdout and "[llama-70b]" in done.stdout


def test_a_plan_needs_no_helm() -> None:
    """Then it says that the rules were not checked."""
    done = grace("plan", "--models", "gemma-2b", "--sample", "10", "--experiments", "study1-exp2")
    assert done.returncode == 0, done.stderr
    assert "not checked: helm is not on the PATH" in done.stdout
    assert "At worst: 24 GPU-hours (1 GPUs x 24 hours" in done.stdout


def test_ways_of_asking_are_planned() -> None:
    """A design is for the scored experiments; those of free text are asked in one way."""
    plan = ("plan", "--json", "--models", "gemma-2b", "--sample", "10", "--experiments")
    counts = []
    for more in (("study2-exp2",), ("study2-exp2,study2-exp1", "--ways", "one-by-one:order")):
        done = grace(*plan, *more)
        assert done.returncode == 0, done.stderr
        counts.append(json.loads(done.stdout)["models"][0]["questions"])
    assert counts == [10, 3 * 10 + 5 * 10]


def test_a_study_file_is_planned() -> None:
    """Its own questions are counted: two scored experiments, and one with two answers to each question."""
    own = ("plan", "--json", "--models", "gemma-2b,gpt-oss-20b", "--study", str(own_study.FILE))
    for more, questions in (((), 4 + 4 + 8), (("--sample", "1"), 1 + 1 + 2), (("--experiments", "main"), 4)):
        done = grace(*own, *more)
        assert done.returncode == 0, done.stderr
        assert [model["questions"] for model in json.loads(done.stdout)["models"]] == [questions] * 2


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("plan", "--budget-hours", "251"), "--over-budget"),
        (("plan", "--models", "gpt-3"), "no model gpt-3"),
        (("plan", "--experiments", "study9"), "no experiment 'study9'"),
        (("plan", "--study", "none.yaml"), "none.yaml"),
        (("plan", "--study", str(own_study.EXAMPLES)), "solved.csv:1:1"),
        (("plan", "--study", str(own_study.FILE), "--experiments", "main,mian"), "has no experiment mian."),
        (("plan", "--study", str(own_study.FILE), "--trials", str(LIST)), "column"),
        (("plan", "--trials", str(LIST), "--trials", str(LIST)), "two lists are of study1"),
        (("run", "--study", str(own_study.FILE)), "--models"),
        (("plan", "--ways", "full", "--experiments", "study1-exp1"), "all experiments draw free text"),
        (("plan", "--ways", "full:colour"), "study1-exp2: --ways full:colour: 'colour' is not a way"),
        (("plan", "--set-file", "queries.trials.study1"), "KEY=FILE"),
        (("plan", "--set-file", "queries.trials.study1=none.csv"), "none.csv"),
        (("plan", "--models", "llama-70b", "--budget-hours", "1"), ""),
        (("run", "--models", "gemma-2b", "--fallback", "h900"), "no kind of GPU h900"),
        (("run", "--gpu", "l40"), "--models"),
        (("run", "--vllm", "vllm serve"), "--local"),
        (("run", "--local", "--gpu", "l40", "--budget-hours", "9"), "--gpu, --budget-hours: "),
        (("run", "--models", "gemma-2b"), "kubectl is not on the PATH"),
        (("status",), "kubectl is not on the PATH"),
        (("stop",), "kubectl is not on the PATH"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 with what to do; nothing is touched."""
    monkeypatch.setenv("PATH", NO_TOOLS)
    done = CliRunner().invoke(app, arguments)
    code = done.exception.exit_code if isinstance(done.exception, GraceError) else done.exit_code
    assert code == 2, done.output
    assert said in f"{done.exception}"


def test_the_models_that_grace_knows() -> None:
    """The embedded one first; each name is one that a campaign takes."""
    first, *others = json.loads(CliRunner().invoke(cli.app, ["models", "--json"]).stdout)
    assert (first["model"], first["gpus"], first["parameters"]) == ("embedded", 0, 134_515_008)
    known = models(values_folder())
    assert [one["model"] for one in others] == list(known)
    for one in others:
        assert (one["repository"], one["gpus"]) == (
            known[one["model"]].model.repository,
            known[one["model"]].gpu.count,
        )
    shown = CliRunner().invoke(cli.app, ["models"]).stdout.splitlines()
    (line,) = [line.split() for line in shown if line.startswith("llama-70b")]
    assert line[2:] == ["2", "GPUs", "of", "80", "GiB,", "131.5", "GiB", "of", "weights,", "gated"]
