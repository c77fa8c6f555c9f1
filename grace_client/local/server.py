"""How a model runs on this machine: on a vLLM server that is started here, or in the embedded engine."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grace_client.core.errors import SpecError
from grace_client.deploy import study
from grace_client.deploy.arguments import declared, server_arguments
from grace_client.deploy.values import chart_folder, layered, merge, nested, read_values
from grace_client.deploy.waits import wait_minutes

HERE = {"weights": {"stage": "init"}, "queries": {"queueMinutes": 60}}
"""Values that differ on one machine: a server downloads while it starts, and there is no queue for GPUs. The
60 minutes are for slow disks and CPUs.
"""


def unlisted(name: str, repository: str = "", *, sets: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All values of a model without a values file: the chart's own, and single values by dotted key.

    No repository is the embedded model.
    """
    own = {"model": {"name": name, "repository": repository}, "gpu": {"count": 0}}
    return merge(read_values(chart_folder() / "values.yaml"), own, *nested(sets or {}))


@dataclass(frozen=True, slots=True)
class Vllm:
    """A command that starts a vLLM server. An option in it wins over the model's values.

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
            If it is not a command line, or if there is no such program.
        """
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise SpecError(f"--vllm {command!r} is not a command line: {error}") from None
        if command and not words:
            raise SpecError("--vllm is empty. Name the command that starts a server, such as 'vllm serve'")
        if words and shutil.which(words[0]) is None:
            raise SpecError(
                f"There is no program {words[0]}. --vllm names the command that starts a vLLM server, such "
                "as 'vllm serve'. Install it in an environment of its own: pip install vllm. Without --vllm "
                "the embedded engine runs the model"
            )
        return cls(tuple(words))

    def command(self, known: Mapping[str, Any], port: int) -> list[str]:
        """The command that starts a server of the model for this machine only, from all its values."""
        mine = [word.partition("=")[0] for word in self.words if word.startswith("--")]
        made = server_arguments(known, without=[*mine, "--port"])
        # The last of two options wins, also over those of `server.args`.
        return [*self.words, *made, "--host=127.0.0.1", f"--port={port}"]

    def _own(self, option: str) -> str | None:
        """The value that the command itself gives to an option; None if it has no such option."""
        for word, following in zip(self.words, (*self.words[1:], ""), strict=True):
            name, equals, value = word.partition("=")
            if name == f"--{option}":
                return value if equals else following
        return None

    def reached(self, known: Mapping[str, Any], port: int) -> list[str]:
        """Arguments with which `grace run` reaches that server, and describes it in its manifest."""
        said = {name: self._own(name) or value for name, value in declared(known).items()}
        return [
            f"--server=http://127.0.0.1:{port}",
            f"--model={self._own('served-model-name') or known['model']['name']}",
            f"--wait-for-server={wait_minutes(layered(known, HERE))}",
            *(f"--declare={name}={value}" for name, value in said.items()),
        ]


def embedded(known: Mapping[str, Any]) -> list[str]:
    """Arguments with which `grace run` loads a model by itself."""
    repository, dtype = known["model"]["repository"], known["model"]["dtype"]
    if not repository:
        return []
    return [f"--model={repository}", *([f"--dtype={dtype}"] if dtype != "auto" else [])]


def asked(known: Mapping[str, Any], experiment: str, folder: Path) -> list[str]:
    """The experiment and its trial list, as `grace run` takes them.

    Texts of a study file and of a trial list in the values are written into `folder`.
    """
    folder /= known["model"]["name"]
    found = [experiment]
    if (own := study.study_file(known)) is not None:
        for name, text in {**own.files, f"{own.name}.yaml": own.text}.items():
            _write(folder / "study" / name, text)
        found = [f"{folder / 'study' / own.name}.yaml:{experiment}"]
    name = study.study_of(known, experiment)
    if text := study.trials(known, name):
        _write(folder / f"{name}.csv", text)
        found.append(f"--trials={folder / name}.csv")
    return found


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="")


def environment(known: Mapping[str, Any], part: str) -> tuple[dict[str, str], list[str]]:
    """Variables of `server` or `queries` in the values, and the names of those that only the cluster has."""
    given = known[part].get("extraEnv") or []
    return (
        {one["name"]: str(one["value"]) for one in given if one.get("value") is not None},
        [one["name"] for one in given if one.get("value") is None],
    )


def check(models: Sequence[Mapping[str, Any]], wanted: Sequence[str], vllm: Vllm) -> None:
    """Refuse values that work only on a cluster, before anything starts.

    Parameters
    ----------
    models : sequence of mapping
        All values of each model.
    wanted : sequence of str
        Experiments; empty for those that the values enable.
    vllm : Vllm
        The command that starts a server.

    Raises
    ------
    SpecError
        Names the value to change.
    """
    usual = read_values(chart_folder() / "values.yaml")["queries"]["trials"]["folder"]
    for known in models:
        name, repository, revision = (known["model"][key] for key in ("name", "repository", "revision"))
        if vllm.words and not repository:
            raise SpecError(
                "--vllm cannot serve the embedded model. Leave out --vllm, or name another model "
                "with --models"
            )
        if repository and not vllm.words and revision != "main":
            raise SpecError(
                f"{name}: the values name revision {revision} of {repository}, but the embedded engine uses "
                "the newest one. Serve the model with --vllm, or download that revision into a folder and "
                "name the folder with --models"
            )
        if there := known["queries"]["studyFromInput"]:
            raise SpecError(
                f"{name}: {study.FROM_INPUT} is {there}, a file on a cluster's claim. Name the study file "
                "with --study, or run without --local"
            )
        for of in {study.study_of(known, one) for one in wanted or study.experiments(known)}:
            if not study.trials(known, of) and (there := study.trials_on_claim(known, of)):
                raise SpecError(
                    f"{name}: queries.trials.fromInput.{of} is {there}, a file on a cluster's claim. Name "
                    "the list with --trials, or run without --local"
                )
        folder = known["queries"]["trials"]["folder"]
        if folder != usual and study.study_file(known) is None:
            raise SpecError(
                f"{name}: queries.trials.folder is {folder}, a folder in an image. Name a list with --trials"
            )
