"""What a model's values mean where no chart renders them: the same server, asked the same questions."""

from __future__ import annotations

import math
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grace_client.campaign.settings import effective, experiments
from grace_client.core.errors import SpecError
from grace_client.deploy.values import ModelValues, chart_folder, merge, read_values

WAIT_MINUTES = 60.0
"""For a server's first answer, where the size of the weights does not ask for more."""


@dataclass(frozen=True, slots=True)
class Model:
    """What runs as one model.

    Attributes
    ----------
    name : str
        In folders, and the name under which a vLLM serves it.
    repository : str
        Hugging Face id or folder; empty for the embedded model.
    known : dict
        All values as the chart sees them, its own defaults included.
    """

    name: str
    repository: str = ""
    known: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, values: ModelValues) -> Model:
        """A model of a values folder."""
        return cls(values.name, values.model.repository, effective(values, {}))

    @classmethod
    def plain(cls, name: str, repository: str = "") -> Model:
        """One that no values describe: everything is as in the chart's own."""
        own = {"model": {"name": name, "repository": repository}, "gpu": {"count": 0}}
        return cls(name, repository, merge(read_values(chart_folder() / "values.yaml"), own))

    @property
    def run_id(self) -> str:
        """Last part of the folders of its results."""
        return str(self.known["queries"]["runId"] or self.name)

    @property
    def experiments(self) -> tuple[str, ...]:
        """What is asked of it unless told otherwise."""
        return experiments(self.known)


@dataclass(frozen=True, slots=True)
class Run:
    """One `grace run`.

    Attributes
    ----------
    folder : Path
        Where its results go, under the folder of all results.
    arguments : tuple of str
        Everything but where the model is reached and where the results go.
    """

    folder: Path
    arguments: tuple[str, ...]


def runs(model: Model, experiment: str, sample: int, lists: Path) -> list[Run]:
    """The runs of an experiment: one, or one for each replicate, as the chart's Jobs are.

    Parameters
    ----------
    model : Model
        Which.
    experiment : str
        Which.
    sample : int
        Trials to draw; 0 for what the values say.
    lists : Path
        Where a trial list that the values hold is written.
    """
    queries = model.known["queries"]
    own = queries["experiments"].get(experiment, {})
    common = [experiment, *_trials(model, experiment, lists)]
    if "replicates" in own:
        common += [f"--temperature={own['temperature']}", f"--max-tokens={int(own['maxTokens'])}"]
    if effort := model.known["model"].get("reasoningEffort"):
        common.append(f"--reasoning-effort={effort}")
    if (reasoning := own.get("reasoning", "")) != "":
        # YAML reads a bare on and off as true and false.
        common.append(f"--reasoning={ {True: 'on', False: 'off'}.get(reasoning, reasoning) }")
    if drawn := sample or int(own.get("sample") or 0):
        common.append(f"--sample={drawn}")
    common.append(f"--max-failed={queries['maxFailed']}")
    last = [str(word) for word in own.get("extraArgs") or ()]
    folder = Path(experiment, model.name, model.run_id)
    if "replicates" not in own:
        return [Run(folder, (*common, *last))]
    replicates, seed = int(own["replicates"]), int(own["seed"])
    if own.get("indexed"):
        return [
            Run(folder / f"replicate-{index}", (*common, "--replicates=1", f"--seed={seed}{index}", *last))
            for index in range(replicates)
        ]
    return [Run(folder, (*common, f"--replicates={replicates}", f"--seed={seed}", *last))]


def _trials(model: Model, experiment: str, lists: Path) -> list[str]:
    """A list that the values hold; otherwise grace's own, which is that of the image."""
    trials, study = model.known["queries"]["trials"], experiment.partition("-")[0]
    if text := trials.get(study):
        file = lists / model.name / f"{study}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
        return [f"--trials={file}"]
    return []


@dataclass(frozen=True, slots=True)
class Vllm:
    """A command that starts a vLLM server; an option that it has itself is not given once more.

    Attributes
    ----------
    words : tuple of str
        The command; empty for the embedded engine.
    """

    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, command: str) -> Vllm:
        """From a line as for a shell.

        Raises
        ------
        SpecError
            Where it is no command line, or there is no such program.
        """
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise SpecError(f"--vllm {command!r} is no command line: {error}") from None
        if command and not words:
            raise SpecError("--vllm is empty: name the command that starts a server, such as 'vllm serve'")
        if words and shutil.which(words[0]) is None:
            raise SpecError(
                f"there is no program {words[0]}: --vllm names the command that starts a vLLM server, such "
                "as 'vllm serve'. 'pip install vllm', in an environment of its own, installs it; without "
                "--vllm the embedded engine runs the model"
            )
        return cls(tuple(words))

    def command(self, model: Model, port: int) -> list[str]:
        """Starts a server of a model, reached from this machine alone."""
        known, own = model.known, model.known["model"]
        server, gpu = known["server"], known["gpu"]
        options = {
            "revision": own["revision"],
            "served-model-name": model.name,
            "dtype": own["dtype"],
            "max-model-len": int(own["maxModelLen"]),
        }
        if int(gpu["count"]):
            options["tensor-parallel-size"] = int(gpu["count"])
            options["gpu-memory-utilization"] = gpu["memoryUtilization"]
        if own.get("reasoningParser"):
            options["reasoning-parser"] = own["reasoningParser"]
        made = [model.repository]
        made += [f"--{name}={value}" for name, value in options.items() if self.own(name) is None]
        made += ["--enable-prefix-caching", "--disable-uvicorn-access-log"]
        made += [str(word) for word in server.get("extraArgs") or ()]
        # Whatever went before, nobody else reaches the server, and it is found.
        return [*self.words, *(server.get("args") or made), "--host=127.0.0.1", f"--port={port}"]

    def own(self, option: str) -> str | None:
        """The value that the command itself gives to an option; None where it has no such option."""
        for word, following in zip(self.words, (*self.words[1:], ""), strict=True):
            name, equals, value = word.partition("=")
            if name == f"--{option}":
                return value if equals else following
        return None

    def reached(self, model: Model, port: int, minutes: float) -> list[str]:
        """How `grace run` reaches that server, and what the server does not tell of itself."""
        own = model.known["model"]
        told = {
            "dtype": self.own("dtype") or own["dtype"],
            "repository": model.repository,
            "revision": self.own("revision") or own["revision"],
        }
        return [
            f"--server=http://127.0.0.1:{port}",
            f"--model={self.own('served-model-name') or model.name}",
            f"--wait-for-server={minutes:g}",
            *(f"--declare={name}={value}" for name, value in told.items()),
        ]


def embedded(model: Model) -> list[str]:
    """How `grace run` loads a model by itself."""
    if not model.repository:
        return []
    dtype = model.known["model"]["dtype"]
    return [f"--model={model.repository}", *([f"--dtype={dtype}"] if dtype != "auto" else [])]


def environment(model: Model, part: str) -> tuple[dict[str, str], list[str]]:
    """Variables that the values give to the server or the queries; names of those only the cluster has."""
    given = model.known[part].get("extraEnv") or []
    return (
        {one["name"]: str(one["value"]) for one in given if one.get("value") is not None},
        [one["name"] for one in given if one.get("value") is None],
    )


def wait_minutes(model: Model) -> float:
    """For a server's first answer: download and start, at the rates that the chart reckons with."""
    megabytes = float(model.known["model"]["weightsGiB"]) * 1073.741824
    startup = model.known["server"]["startup"]
    download = megabytes / float(model.known["weights"]["downloadMBps"])
    load = megabytes / float(startup["readMBps"]) + float(startup["engineSeconds"])
    return max(WAIT_MINUTES, math.ceil((download + load) / 60))


def check(models: Sequence[Model], wanted: Sequence[str], vllm: Vllm) -> None:
    """Refuse, before anything is started, what a cluster could do and this machine can not.

    Raises
    ------
    SpecError
        With what to change.
    """
    usual = read_values(chart_folder() / "values.yaml")["queries"]["trials"]["folder"]
    for model in models:
        if vllm.words and not model.repository:
            raise SpecError(
                "the embedded model is not served by a vLLM here: leave out --vllm, or give --models the "
                "folder in which 'scripts/vllm-cpu' serves it"
            )
        revision = model.known["model"]["revision"]
        if model.repository and not vllm.words and revision != "main":
            raise SpecError(
                f"{model.name}: the embedded engine takes the newest revision of {model.repository}, and the "
                f"values name {revision}: serve it with --vllm, or download that revision into a folder and "
                "give --models the folder"
            )
        trials = model.known["queries"]["trials"]
        for study in {name.partition("-")[0] for name in wanted or model.experiments}:
            if not trials.get(study) and (there := trials["fromInput"].get(study)):
                raise SpecError(
                    f"{model.name}: queries.trials.fromInput.{study} names {there} on a cluster's claim, "
                    f"which is not here; put the list's text into queries.trials.{study}, or run without "
                    "--local"
                )
        if trials["folder"] != usual:
            raise SpecError(
                f"{model.name}: queries.trials.folder names {trials['folder']} in an image, which is not "
                "here; put a list's text into queries.trials.study1 or study2"
            )
