"""Whether what is set side by side was asked in the same way: of models, and of the runs of one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grace_client.report import format
from grace_client.report.runs import Material

ASKED: dict[str, Callable[[Any], str]] = {
    "trial lists": lambda run: f"list {run.spec.trials_sha256[:8]}",
    "samples": lambda run: "all trials" if run.spec.sample is None else f"{run.spec.sample} trials",
    "questions": lambda run: f"questions {run.spec.questions_sha256[:8]}",
}
"""What must be equal of all models of an experiment, so that their answers are answers to the same."""
DRAWN: dict[str, Callable[[Any], str]] = {
    "draws": lambda run: _draws(run),
    "whether they reason": lambda run: run.spec.reasoning or "shows none",
}
"""What may differ for a reason, such as that one of them reasons."""


ONE_WAY = (
    "Each question was asked in one wording, and its answers were offered in one order. Another wording or "
    "order may give another result: with smollm2-135m, the model that comes with grace, the share of negated "
    "utterances in Study 2 was .10 with the list of utterances as it is and .94 with the same list reversed."
)
"""What stands before everything that a report says."""


def models(material: Material) -> list[str]:
    """A sentence for every way in which models of an experiment were not asked the same."""
    found = []
    for experiment in material.frames:
        runs = {model: run for (model, name), run in material.manifests.items() if name == experiment}
        for what, of in ASKED.items():
            if told := _told({model: of(run) for model, run in runs.items()}):
                found.append(
                    f"Review: {experiment}: models got different {what} ({told}); what differs between them "
                    "may be due to that."
                )
                # Of other trials the rest is other too.
                break
        for what, of in DRAWN.items():
            if told := _told({model: of(run) for model, run in runs.items()}):
                found.append(f"{experiment}: models differ in {what} ({told}).")
    return found


def runs(material: Material) -> list[str]:
    """A sentence for everything in which the engine differs between runs of one model."""
    found = []
    for model in material.models:
        own = {name: engine(run) for (one, name), run in material.manifests.items() if one == model}
        for key in dict.fromkeys(key for described in own.values() for key in described):
            if told := _told({name: described.get(key, "not recorded") for name, described in own.items()}):
                found.append(f"Review: runs of {model} differ in {key} ({told}).")
    return found


def engine(run: Any) -> dict[str, str]:
    """What determines a run's answers beside model and questions, in words."""
    described: dict[str, Any] = run.spec.engine
    plain = {name: str(described.get(name)) for name in ("engine", "dtype")}
    hashes = {
        what: str(described.get(name) or "none")[:8]
        for name, what in (("template_sha256", "chat template"), ("tokenizer_sha256", "tokenizer"))
    }
    return plain | hashes | {key: str(value) for key, value in described.get("versions", {}).items()}


def _told(values: dict[str, str]) -> str:
    """Who has which value, such as ``a and b: 1; c: 2``; nothing where all have the same."""
    if len(set(values.values())) < 2:
        return ""
    return "; ".join(
        f"{format.listed(name for name, own in values.items() if own == value)}: {value}"
        for value in dict.fromkeys(values.values())
    )


def _draws(run: Any) -> str:
    sampling = run.spec.sampling
    if sampling is None:
        return "none"
    return (
        f"{sampling.replicates} at temperature {sampling.temperature:g}, of at most {sampling.max_tokens} "
        f"tokens, base seed {sampling.base_seed}"
    )
