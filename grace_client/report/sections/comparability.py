"""Whether the models, and the runs of one model, got the same questions in the same way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from grace_client import studies
from grace_client.analysis import Manifest
from grace_client.report import format
from grace_client.report.blocks import Review
from grace_client.report.runs import ReportData
from grace_client.run import layout

SAME: dict[str, Callable[[Manifest], str]] = {
    "trial lists": lambda manifest: f"list {manifest.spec.trials_sha256[:8]}",
    "samples": lambda manifest: (
        "all trials" if manifest.spec.sample is None else f"{manifest.spec.sample} trials"
    ),
    "ways of asking": lambda manifest: format.plural(max(1, len(manifest.spec.ways)), "way"),
    "questions": lambda manifest: f"questions {manifest.spec.questions_sha256[:8]}",
}
"""What must be equal for all models of an experiment."""
MAY_DIFFER: dict[str, Callable[[Manifest], str]] = {
    "sampling": lambda manifest: _sampling(manifest),
    "reasoning": lambda manifest: manifest.spec.reasoning or "shows none",
    "study files": lambda manifest: f"file {_study(manifest)[:8]}",
}
"""What may differ for a good reason, such as that one of the models reasons."""


def models(data: ReportData) -> list[str]:
    """A sentence for each difference between the questions or settings of the models of an experiment."""
    sentences: list[str] = []
    for experiment in data.frames:
        manifests = {model: one for (model, name), one in data.manifests.items() if name == experiment}
        for what, of in SAME.items():
            if differences := _differences({model: of(one) for model, one in manifests.items()}):
                sentences.append(
                    Review(
                        f"Review: {experiment}: models got different {what} ({differences}). This may be the "
                        "reason for differences between the models."
                    )
                )
                # With other trials, the questions differ as well.
                break
        for what, of in MAY_DIFFER.items():
            if differences := _differences({model: of(one) for model, one in manifests.items()}):
                sentences.append(f"{experiment}: models differ in {what} ({differences}).")
    return sentences


def runs(data: ReportData) -> list[str]:
    """A sentence for each difference between the engines of one model's runs."""
    sentences: list[str] = []
    for model in data.models:
        own = {name: engine(manifest) for (one, name), manifest in data.manifests.items() if one == model}
        for key in dict.fromkeys(key for described in own.values() for key in described):
            values = {name: described.get(key, "not recorded") for name, described in own.items()}
            if differences := _differences(values):
                sentences.append(Review(f"Review: runs of {model} differ in {key} ({differences})."))
    return sentences


def engine(manifest: Manifest) -> dict[str, str]:
    """The properties of an engine that can change answers, by their names in words."""
    described: dict[str, Any] = manifest.spec.engine
    plain = {name: str(described.get(name)) for name in ("engine", "dtype")}
    hashes = {
        what: str(described.get(name) or "none")[:8]
        for name, what in (("template_sha256", "chat template"), ("tokenizer_sha256", "tokenizer"))
    }
    return plain | hashes | {key: str(value) for key, value in described.get("versions", {}).items()}


def _differences(values: dict[str, str]) -> str:
    """Such as ``a and b: 1; c: 2``; empty if all values are equal."""
    if len(set(values.values())) < 2:
        return ""
    return "; ".join(
        f"{format.listed(name for name, own in values.items() if own == value)}: {value}"
        for value in dict.fromkeys(values.values())
    )


def _study(manifest: Manifest) -> str:
    """Checksum of a run's study file."""
    raw = studies.experiment(manifest.spec.experiment).study.raw if not manifest.study else b""
    return manifest.study.get(layout.STUDY) or hashlib.sha256(raw).hexdigest()


def _sampling(manifest: Manifest) -> str:
    sampling = manifest.spec.sampling
    if sampling is None:
        return "none"
    return (
        f"{sampling.replicates} at temperature {sampling.temperature:g}, of at most {sampling.max_tokens} "
        f"tokens, base seed {sampling.base_seed}"
    )
