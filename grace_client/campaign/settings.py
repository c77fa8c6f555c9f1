"""The values with which a campaign installs its models: files, overlays and single values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grace_client.campaign.records import Campaign, ModelState, Spec
from grace_client.core import paths
from grace_client.core.errors import SpecError
from grace_client.deploy import arguments
from grace_client.deploy.values import ModelValues, effective, layered, model_values, models, overlays
from grace_client.deploy.waits import LONGEST_WAIT_MINUTES

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")
_PLAIN = {"true": True, "false": False, "null": None}


def parse_sets(assignments: Sequence[str]) -> dict[str, Any]:
    r"""Single values `KEY=VALUE` by dotted key, as `helm --set` takes them, one at a time.

    A dot that belongs to a name is written `\.`, a list `{a,b}`.

    Raises
    ------
    SpecError
        For what has no `=`.

    Examples
    --------
    >>> parse_sets(["queries.maxFailed=0.05", "server.extraArgs={--seed=1}", r"labels.a\.b=c"])
    {'queries.maxFailed': 0.05, 'server.extraArgs': ['--seed=1'], 'labels': {'a.b': 'c'}}
    """
    found: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise SpecError(f"--set takes KEY=VALUE, such as queries.maxFailed=0.05, not {assignment!r}")
        value = [_scalar(part) for part in text[1:-1].split(",")] if text[:1] == "{" else _scalar(text)
        steps = [step.replace(r"\.", ".") for step in re.split(r"(?<!\\)\.", key)]
        plain = next((i for i, step in enumerate(steps) if "." in step), len(steps))
        for step in reversed(steps[plain:]):
            value = {step: value}
        key = ".".join(steps[:plain])
        other = found.get(key)
        found[key] = layered(other, value) if isinstance(other, dict) and isinstance(value, dict) else value
    return found


def _scalar(text: str) -> Any:
    if text in _PLAIN:
        return _PLAIN[text]
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text


def describe(
    names: Sequence[str],
    *,
    folder: Path,
    gpu: str = "",
    fallbacks: Sequence[str] = (),
    sets: Mapping[str, Any] | None = None,
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

    Raises
    ------
    SpecError
        For a model or an overlay that is not in the folder, and for a model named twice.
    """
    known, choices = models(folder), overlays(folder)
    if strange := [name for name in names if name not in known]:
        raise SpecError(f"there is no model {', '.join(strange)} in {folder}; it has {', '.join(known)}")
    if not names or len(set(names)) < len(names):
        raise SpecError("a campaign needs at least one model, and each of them only once")
    for name in filter(None, (gpu, *fallbacks)):
        if name not in choices:
            raise SpecError(f"there is no GPU {name} in {folder}/gpus; it has {', '.join(choices) or 'none'}")
    return Spec(
        models=tuple(names),
        gpu=gpu,
        sets=dict(sets or {}),
        documents={name: known[name].files[0].read_text(encoding="utf-8") for name in names},
        overlays={name: file.read_text(encoding="utf-8") for name, file in choices.items()},
    )


def values_of(spec: Spec, model: str, overlay: str, folder: Path) -> ModelValues:
    """A model's values with an overlay, also written into a folder, so that any machine can continue."""
    wanted = {folder / f"{model}.yaml": spec.documents[model]}
    if overlay:
        if overlay not in spec.overlays:
            raise SpecError(f"the campaign has no overlay {overlay}; it has {', '.join(spec.overlays)}")
        wanted[folder / "gpus" / f"{overlay}.yaml"] = spec.overlays[overlay]
    for file, text in wanted.items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            with paths.replacing(file) as new:
                new.write_text(text, encoding="utf-8")
    return model_values(*wanted)


def sets_of(campaign: Campaign, model: ModelState, values: ModelValues) -> dict[str, Any]:
    """Single values for a model in its present state: the campaign's own, and those that its GPUs need.

    Probabilities differ a little from GPU to GPU. So the run's manifest declares GPUs other than the model's
    own, and their run has a folder of its own: no table mixes two kinds of GPU.
    """
    sets = dict(campaign.spec.sets)
    known = effective(values, sets)
    if (minutes := math.ceil(campaign.limits.queue_minutes)) > int(known["queries"]["queueMinutes"]):
        # The clients wait for the server as long as the campaign waits for its GPUs.
        sets["queries.queueMinutes"] = min(minutes, LONGEST_WAIT_MINUTES)
    overlay = model.overlay
    if not overlay:
        return sets
    sets["queries.runId"] = run_id(campaign, model, known)
    for name, settings in known["queries"]["experiments"].items():
        key = f"queries.experiments.{name}.extraArgs"
        sets[key] = [*settings.get("extraArgs", ()), f"--declare=gpu={overlay}"]
    return sets


def run_id(campaign: Campaign, model: ModelState, known: Mapping[str, Any]) -> str:
    """Last part of the folders of a model's results."""
    own = arguments.run_id(known, model.model)
    return f"{own}-{model.overlay}" if model.overlay else own
