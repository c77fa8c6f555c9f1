"""Chart and Python read a model's values alike: arguments, waits, time limits, GPUs.

The chart is rendered for every values file and overlay, for its own cases in `ci/`, and with each optional
key on. The result is compared with what Python derives from the same values.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grace_client.campaign.estimate import Assumptions, estimate
from grace_client.deploy.arguments import client_runs, declared
from grace_client.deploy.study import experiments, study_file, study_of, trials, trials_on_claim
from grace_client.deploy.values import ModelSection, ModelValues, effective, layered, model_values
from grace_client.deploy.waits import LONGEST_WAIT_MINUTES, wait_minutes
from grace_client.local.server import Vllm
from tests.chart.helm import (
    CHART,
    HELMS,
    MODELS,
    OVERLAYS,
    VALUES,
    Object,
    RefusedError,
    containers,
    of,
    overlay,
    pods,
    render,
)
from tests.support import own_study

FREE = "queries.experiments.study1-exp1"
SAID = "queries.experiments.some-reds-said"
NAMED = "study: some-reds\n"
OWN = {f"queries.{key}": value for key, value in own_study.VALUES.items()}
OPTIONS: dict[str, dict[str, Any]] = {
    "job": {"server.kind": "Job"},
    "wait": {"queries.waitMinutes": 77, "queries.queueMinutes": 5},
    "queue": {"queries.queueMinutes": 301},
    "budget": {"server.startup.budgetSeconds": 9001, "server.startup.periodSeconds": 7},
    "rates": {"server.startup.readMBps": 33.3, "weights.downloadMBps": 7, "server.startup.engineSeconds": 61},
    "stage-job": {"weights.stage": "job", "weights.job.activeDeadlineSeconds": 7200},
    "stage-none": {"weights.stage": "none"},
    "shutdown": {"server.shutdownSeconds": 61},
    "port": {"server.port": 9000},
    "flags": {"server.extraArgs": ["--max-num-seqs=4", "--seed=1"]},
    "args": {"server.args": ["openai/gpt-oss-20b", "--port=8000"]},
    "long": {"model.maxModelLen": 1048576, "model.reasoningEffort": "", "model.reasoningParser": ""},
    "no-gpu": {"gpu.count": 0},
    "more-gpus": {"gpu.count": 4, "policy.allowMoreGpus": "a test"},
    "indexed": {f"{FREE}.indexed": True, f"{FREE}.seed": 4, f"{FREE}.replicates": 3},
    "free": {f"{FREE}.temperature": 1.0, f"{FREE}.maxTokens": 7, f"{FREE}.sample": 9},
    "ways": {
        "queries.experiments.study1-exp2.ways": "one-by-one",
        "queries.experiments.study2-exp2.ways": "random-8-3:order,end",
    },
    "cold": {f"{FREE}.temperature": 0, f"{FREE}.reasoning": False, f"{FREE}.extraArgs": ["--declare=a=b"]},
    "reasons": {f"{FREE}.reasoning": True, "queries.experiments.study1-exp2.reasoning": "off-by-prompt"},
    "words": {f"{FREE}.temperature": "0.50", "queries.maxFailed": "0.10", "model.weightsGiB": "12.5"},
    "failed": {"queries.maxFailed": 0.00001, "queries.runId": "second"},
    "choice": {"queries.experiments.study2-null.enabled": True, f"{FREE}.enabled": False},
    "study": OWN,
    "study-job": {**OWN, "server.kind": "Job", f"{SAID}.temperature": 0, f"{SAID}.enabled": False},
    "study-indexed": {**OWN, f"{SAID}.indexed": True, f"{SAID}.replicates": 2, f"{SAID}.sample": 1},
    "study-order": {**OWN, "queries.study": own_study.TEXT.replace(NAMED, "") + NAMED},
    "study-mark": {**OWN, "queries.study": "\ufeff" + own_study.TEXT.replace("\n", "\r\n")},
    "study-input": {
        "queries.studyFromInput": "a/some-reds.yml",
        "queries.experiments.some-reds-main.seed": 3,
        "queries.trials.fromInput.some-reds": "a/b.csv",
    },
    "study-image": {
        "queries.experiments.my-study-exp1.sample": 3,
        "queries.experiments.my-study-b-exp1.enabled": True,
        "queries.trials.my-study": "a",
        "queries.trials.my-study-b": "b",
    },
}
"""Each optional key switched on, over gpt-oss-20b."""


def cases() -> list[Any]:
    """Files in order, and single values over them."""
    found = [
        pytest.param([VALUES / f"{model}.yaml", *([overlay(gpu)] if gpu else [])], {}, id=f"{model}-{gpu}")
        for model in MODELS
        for gpu in (None, *OVERLAYS)
    ]
    found += [pytest.param([file], {}, id=file.stem) for file in sorted((CHART / "ci").glob("*.yaml"))]
    base = [VALUES / "gpt-oss-20b.yaml"]
    return found + [pytest.param(base, sets, id=name) for name, sets in OPTIONS.items()]


def nested(sets: dict[str, Any]) -> dict[str, Any]:
    """A document of values with dotted keys."""
    return layered(
        *(functools.reduce(lambda v, k: {k: v}, reversed(p.split(".")), v) for p, v in sets.items())
    )


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize(("files", "sets"), cases())
def test_chart_and_python_derive_the_same(files: list[Path], sets: dict[str, Any], helm: str) -> None:
    """All differences are listed."""
    try:
        objects = render(*files, values=nested(sets), helm=helm)
    except RefusedError:
        assert len(files) == 2, "only a GPU may be refused for a model"
        return
    values = model_values(*files)
    known = effective(values, sets)
    work = [(o, c) for o, pod in pods(objects) for c in containers(pod)]
    ((workload, server),) = ((o, c) for o, c in work if c["name"] == "server")
    pairs = [*server_pairs(workload, server, known), *estimate_pairs(objects, server, values, known)]
    clients = {
        c["args"][1].rpartition(":")[2]: (o, c["args"][1:]) for o, c in work if c["args"][:1] == ["run"]
    }
    pairs.append(("experiments", sorted(clients), sorted(experiments(known))))
    for name, (job, words) in clients.items():
        pairs += client_pairs(name, job, words[1:], known, files[0].stem)
        pairs += study_pairs(name, words, known)
    assert not [f"{what}: chart {chart}, Python {python}" for what, chart, python in pairs if chart != python]


Pair = tuple[str, Any, Any]
"""What is compared, in the chart, in Python."""


def server_pairs(workload: Object, server: Object, known: dict[str, Any]) -> Iterator[Pair]:
    """A local server differs by where it listens, and by nothing else."""
    command = Vllm(("vllm", "serve")).command(known, 1)
    place = [word for word in server["args"] if word.startswith("--port=") and not known["server"]["args"]]
    ours = [word for word in server["args"] if word not in place]
    yield "server", ours, command[2:-2]
    yield "port", place or [f"--port={known['server']['port']}"], [f"--port={known['server']['port']}"]
    if workload["kind"] == "Deployment":
        yield "progress", workload["spec"]["progressDeadlineSeconds"], 60 * wait_minutes(known)
    else:
        yield (
            "deadline",
            workload["spec"]["activeDeadlineSeconds"],
            known["server"]["job"]["activeDeadlineSeconds"],
        )


def estimate_pairs(
    objects: list[Object], server: Object, values: ModelValues, known: dict[str, Any]
) -> Iterator[Pair]:
    """Start-up time, GPUs, and whether these are held during the download."""
    expected = estimate(values, known, [], Assumptions())
    probe = server["startupProbe"]
    load = math.ceil(round(expected.load_hours * 3600, 6) / probe["periodSeconds"])
    yield "start-up", probe["failureThreshold"], load
    yield "gpus", int(server["resources"]["limits"].get(known["gpu"]["resource"], 0)), known["gpu"]["count"]
    downloads = [pod for _, pod in pods(objects) if any(c["name"] == "weights" for c in containers(pod))]
    with_server = [pod for pod in downloads if any(c["name"] == "server" for c in containers(pod))]
    yield "download", bool(downloads), expected.download_hours > 0
    yield "download with GPUs", bool(with_server), expected.downloads_with_gpus
    for job in of(objects, "Job", "weights"):
        yield (
            "download job",
            job["spec"]["activeDeadlineSeconds"],
            known["weights"]["job"]["activeDeadlineSeconds"],
        )


def client_pairs(
    name: str, job: Object, words: list[str], known: dict[str, Any], release: str
) -> Iterator[Pair]:
    """Every argument that does not depend on the place, and those that do by their values."""
    place = ("--server=", "--model=", "--api-key-file=", "--trials=")
    found = client_runs(known, name, release=release)
    yield f"{name}: replicates", job["spec"].get("completions", 1), len(found)
    for index, run in enumerate(found):
        own = [word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in words]
        told = [f"--declare={key}={value}" for key, value in declared(known).items()]
        told += [f"--out=/output/{run.folder}", f"--wait-for-server={wait_minutes(known)}"]
        yield name, sorted(w for w in own if not w.startswith(place)), sorted([*run.arguments, *told])


def study_pairs(name: str, words: list[str], known: dict[str, Any]) -> Iterator[Pair]:
    """The study file and the trial list: in the values, on the input claim, or in the image."""
    own, study = study_file(known), study_of(known, name)
    asked = name
    if own is not None:
        path = f"study/{own.name}.yaml" if own.text else f"input/{known['queries']['studyFromInput']}"
        asked = f"/{path}:{name}"
    yield f"{name}: study", words[0], asked
    shipped = f"{known['queries']['trials']['folder']}/{study}.csv" if study and own is None else ""
    there = trials_on_claim(known, study)
    where = f"/trials/{study}.csv" if trials(known, study) else f"/input/{there}" if there else shipped
    given = [word.partition("=")[2] for word in words if word.startswith("--trials=")]
    yield f"{name}: trials", given, [where] if where else []


def test_limits_of_the_schema_are_pythons() -> None:
    """A name and a wait that one takes, the other takes."""
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    (text,) = ModelSection.model_fields["name"].metadata
    assert text.max_length == schema["model"]["properties"]["name"]["maxLength"]
    for key in ("queueMinutes", "waitMinutes"):
        assert schema["queries"]["properties"][key]["maximum"] == LONGEST_WAIT_MINUTES
