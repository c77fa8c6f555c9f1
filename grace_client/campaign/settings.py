"""The values with which a campaign installs its models: files, overlays and single values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from grace_client.campaign.records import Campaign, ModelState, Spec
from grace_client.core import paths
from grace_client.core.errors import SpecError
from grace_client.deploy import arguments, study
from grace_client.deploy.values import ModelValues, assigned, effective, model_values, models, overlays
from grace_client.deploy.waits import LONGEST_WAIT_MINUTES
from grace_client.kube.helm import NO_ASSIGNMENTS, Assignments


def describe(
    names: Sequence[str],
    *,
    folder: Path,
    gpu: str = "",
    fallbacks: Sequence[str] = (),
    sets: Mapping[str, Any] | None = None,
    assignments: Assignments = NO_ASSIGNMENTS,
) -> Spec:
    """The part of a campaign that never changes: its models, and the text of every values file it needs.

    Parameters
    ----------
    names : sequence of str
        Models' short names, in order.
    folder : Path
        Values folder: `NAME.yaml` for models, `gpus/NAME.yaml` for overlays.
    gpu : str
        Overlay for every model; empty for none.
    fallbacks : sequence of str
        Overlays for later attempts, which must exist.
    sets : mapping
        Single values for every model.
    assignments : Assignments
        What the user assigns with `--set` and the like; wins over `sets`.

    Raises
    ------
    SpecError
        For a model or an overlay that is not in the folder, and for a model named twice.
    """
    known, choices = models(folder), overlays(folder)
    if strange := [name for name in names if name not in known]:
        raise SpecError(f"There is no model {', '.join(strange)} in {folder}. Models: {', '.join(known)}")
    if not names or len(set(names)) < len(names):
        raise SpecError("--models must name at least one model, and each model only once")
    for name in filter(None, (gpu, *fallbacks)):
        if name not in choices:
            raise SpecError(
                f"There is no kind of GPU {name} in {folder}/gpus. Kinds: {', '.join(choices) or 'none'}"
            )
    return Spec(
        models=tuple(names),
        gpu=gpu,
        sets=dict(sets or {}),
        assignments=assignments,
        documents={name: known[name].files[0].read_text(encoding="utf-8") for name in names},
        overlays={name: file.read_text(encoding="utf-8") for name, file in choices.items()},
    )


def values_of(spec: Spec, model: str, overlay: str, folder: Path) -> ModelValues:
    """A model's values in a campaign: its file and overlay, also written into a folder, and single values."""
    wanted = {folder / f"{model}.yaml": spec.documents[model]}
    if overlay:
        if overlay not in spec.overlays:
            raise SpecError(f"The campaign has no kind of GPU {overlay}. Kinds: {', '.join(spec.overlays)}")
        wanted[folder / "gpus" / f"{overlay}.yaml"] = spec.overlays[overlay]
    for file, text in wanted.items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            with paths.replacing(file) as new:
                new.write_text(text, encoding="utf-8")
    return assigned(model_values(*wanted), spec.sets, spec.assignments)


def same(one: Spec, other: Spec) -> bool:
    """Whether two campaigns run the same; values that an earlier version has parsed count as assigned."""
    if one == other:
        return True
    unassigned = {"sets": {}, "assignments": NO_ASSIGNMENTS}
    if one.model_copy(update=unassigned) != other.model_copy(update=unassigned):
        return False
    with TemporaryDirectory() as folder:
        return all(
            _in_words(values_of(one, model, one.gpu, Path(folder)).values)
            == _in_words(values_of(other, model, other.gpu, Path(folder)).values)
            for model in one.models
        )


def _in_words(value: Any) -> Any:
    """Values with every scalar as text: to the chart, 0.05 is the same as "0.05"."""
    if isinstance(value, dict):
        return {key: _in_words(inner) for key, inner in value.items()}
    return [_in_words(inner) for inner in value] if isinstance(value, list) else str(value)


def sets_of(campaign: Campaign, model: ModelState, values: ModelValues) -> dict[str, Any]:
    """Single values that a model needs as it is now, because of its GPUs and the campaign's limits.

    Probabilities differ a little from GPU to GPU. So the run's manifest declares GPUs other than the model's
    own, and their run has a folder of its own: no table mixes two kinds of GPU.
    """
    sets: dict[str, Any] = {}
    known = effective(values, sets)
    if (minutes := math.ceil(campaign.limits.queue_minutes)) > int(known["queries"]["queueMinutes"]):
        # The clients wait for the server as long as the campaign waits for its GPUs.
        sets["queries.queueMinutes"] = min(minutes, LONGEST_WAIT_MINUTES)
    overlay = model.overlay
    if not overlay:
        return sets
    sets["queries.runId"] = run_id(campaign, model, known)
    for name in study.experiments(known):
        key = f"queries.experiments.{name}.extraArgs"
        sets[key] = [*study.settings(known, name).get("extraArgs", ()), f"--declare=gpu={overlay}"]
    return sets


def run_id(campaign: Campaign, model: ModelState, known: Mapping[str, Any]) -> str:
    """Last part of the folders of a model's results."""
    own = arguments.run_id(known, model.model)
    return f"{own}-{model.overlay}" if model.overlay else own
