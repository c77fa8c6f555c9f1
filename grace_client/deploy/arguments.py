"""The arguments of the server and of its clients, from a model's values.

The chart's `files/arguments.yaml` lists them, for its templates and for this module. Functions here take all
values of a release, as `grace_client.deploy.values.effective` returns them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from grace_client.core.errors import SpecError
from grace_client.deploy.study import settings
from grace_client.deploy.values import chart_folder, read_values


@dataclass(frozen=True, slots=True)
class ClientRun:
    """One `grace run` of an experiment.

    Attributes
    ----------
    experiment : str
        Its whole name.
    folder : Path
        Where its results go, under the folder of all results: `EXPERIMENT/MODEL/RUN`, and for an experiment
        with `indexed: true` a folder for each replicate in it.
    arguments : tuple of str
        Without those that depend on the machine: study file, address of the model, trial list, output folder.
    """

    experiment: str
    folder: Path
    arguments: tuple[str, ...]


@cache
def _lists() -> dict[str, Any]:
    return read_values(chart_folder() / "files" / "arguments.yaml")


def run_id(known: Mapping[str, Any], release: str) -> str:
    """Last part of the folders of a release's results."""
    return str(known["queries"].get("runId") or release)


def server_arguments(known: Mapping[str, Any], *, without: Collection[str] = ()) -> list[str]:
    """Arguments of `vllm serve`.

    Parameters
    ----------
    known : mapping
        All values.
    without : collection of str
        Arguments to leave out because the caller adds them, such as `--port`. `server.args` stay unchanged.
    """
    server = known["server"]
    if whole := server.get("args"):
        return [str(word) for word in whole]
    given = [word for word in _given("server", known) if word.partition("=")[0] not in without]
    return [known["model"]["repository"], *given, *map(str, server.get("extraArgs") or ())]


def client_runs(
    known: Mapping[str, Any], experiment: str, *, release: str, sample: int = 0, ways: str = ""
) -> list[ClientRun]:
    """The runs of an experiment: one, or one for each replicate if the values say `indexed`.

    Parameters
    ----------
    known : mapping
        All values.
    experiment : str
        Name of the experiment.
    release : str
        Name of the release, which names the run unless `queries.runId` does.
    sample : int
        Number of trials to draw; 0 for the number in the values.
    ways : str
        Design of ways of asking; empty for the one in the values.
    """
    own = dict(settings(known, experiment))
    own |= {name: value for name, value in (("sample", sample), ("ways", ways)) if value}
    folder = Path(experiment, known["model"]["name"], run_id(known, release))
    if not own.get("indexed"):
        return [_run(known, experiment, folder, own)]
    if not own.get("replicates"):
        raise SpecError(
            f"queries.experiments.{experiment}.indexed is true: an Indexed Job needs the number of "
            f"replicates; set queries.experiments.{experiment}.replicates"
        )
    return [
        _run(
            known,
            experiment,
            folder / f"replicate-{index}",
            own | {"replicates": 1, "seed": f"{int(own.get('seed', 0))}{index}"},
        )
        for index in range(int(own["replicates"]))
    ]


def _run(known: Mapping[str, Any], experiment: str, folder: Path, own: Mapping[str, Any]) -> ClientRun:
    given = _given("client", {**known, "experiment": own})
    return ClientRun(experiment, folder, (*given, *map(str, own.get("extraArgs") or ())))


def declared(known: Mapping[str, Any]) -> dict[str, str]:
    """Facts for a run's manifest that the server does not report, by name."""
    return {name: _at(known, path) for name, path in _lists()["client"]["declared"].items()}


def _given(of: str, known: Mapping[str, Any]) -> list[str]:
    found = []
    for entry in _lists()[of]["given"]:
        path = entry.get("value")
        value = _at(known, path) if path else ""
        if (path and not value) or ("when" in entry and _at(known, entry["when"]) in ("", "0")):
            continue
        found.append(f"{entry['argument']}={value}" if path else entry["argument"])
    return found


def _at(values: Any, path: str) -> str:
    """The value at a dotted path, as the chart writes it; empty if there is none."""
    for step in path.split("."):
        values = values.get(step, "")
    if isinstance(values, bool):
        # YAML reads on and off without quotes as booleans.
        return "on" if values else "off"
    return str(int(values) if isinstance(values, float) and values.is_integer() else values)
