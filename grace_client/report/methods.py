"""How the answers were made, from the runs' manifests, so that a paper can say it."""

from __future__ import annotations

import pandas as pd

from grace_client import __version__, analysis
from grace_client.report import words
from grace_client.report.material import TITLES, Material
from grace_client.report.parts import Section, Table

REFERENCES = {
    "study1": "Goodman, N. D., & Stuhlmüller, A. (2013). Knowledge and implicature: Modeling language "
    "understanding as social cognition. Topics in Cognitive Science, 5(1), 173-184.",
    "study2": "Yoon, E. J., Tessler, M. H., Goodman, N. D., & Frank, M. C. (2020). Polite speech emerges "
    "from competing social goals. Open Mind, 4. doi:10.1162/opmi_a_00035",
}
NRP = (
    "This work used resources available through the National Research Platform (NRP) at the University of "
    "California, San Diego. NRP has been developed, and is supported in part, by funding from National "
    "Science Foundation, from awards 1730158, 1540112, 1541349, 1826967, 2112167, 2100237, and 2120019, as "
    "well as additional funding from community partners."
)
"""As the usage guidelines of CSU TIDE, a part of the cluster, ask users to write (read 2026-11)."""


def section(material: Material, *, nrp: bool) -> Section:
    """Models, engines, prompts, options, sampling, exclusions, statistics, references."""
    found = Section("methods", "Methods")
    scored = [name for name, frame in material.frames.items() if "option" in frame.columns]
    free = [name for name in material.frames if name not in scored]
    found.content.append(_models(material))
    if scored:
        found.content.append(
            f"In {words.listed(scored)} every answer of a closed set was scored: the log-probability of "
            "each of its surface forms, token by token after the chat-templated prompt and without "
            "temperature, summed over tokens, and over forms as probabilities. Probabilities were "
            "normalised over the set; the sum before that is the option mass. Equal questions were asked "
            "once."
        )
    for name in free:
        found.content += _sampling(material, name)
    found.content.append(_exclusions(material))
    found.content.append(
        "Means are over trials. Their 95% intervals are from a bootstrap that draws distinct stimuli (10,000 "
        "draws; percentile intervals whose levels make up for few clusters, as Student's t does for a mean), "
        "since a model that scores gives copies of a stimulus one answer; those of agreement with people "
        "draw cells. Tests are corrected by Holm's method within a model where a column says so. Analyses "
        f"were made with grace {__version__}."
    )
    found.content.append(
        Table("runs", "Runs", _runs(material), "Hashes tell runs with equal trial lists and questions.")
    )
    for name in material.frames:
        asked = analysis.wording(name, material.trials[name])
        found.content.append(
            Table(
                f"prompts-{name}",
                f"Prompts of {TITLES[name]}, for the first trial of the list",
                asked,
                "As sent, but for the model's chat template. In brackets: surface forms of an option.",
                long=True,
            )
        )
    cited = [text for study, text in REFERENCES.items() if any(n.startswith(study) for n in material.frames)]
    found.content += ["Materials and human results: " + " ".join(cited)]
    if nrp:
        found.content.append(f"Acknowledgement that the cluster asks for: “{NRP}”")
    return found


def _models(material: Material) -> str:
    told = []
    for model in material.models:
        engine = next(m.spec.engine for (name, _), m in material.manifests.items() if name == model)
        versions = ", ".join(f"{key} {value}" for key, value in engine.get("versions", {}).items())
        revision = engine.get("revision") or "not recorded"
        told.append(
            f"{model} (revision {revision}; engine {engine.get('engine')}, {engine.get('dtype')}"
            + (f"; {versions}" if versions else "")
            + ")"
        )
    return f"Model{'s' * (len(told) > 1)}: {'; '.join(told)}."


def _sampling(material: Material, experiment: str) -> list[str]:
    told: dict[str, list[str]] = {}
    for (model, name), manifest in material.manifests.items():
        sampling = manifest.spec.sampling
        if name == experiment and sampling is not None:
            text = (
                f"{sampling.replicates} answer{'s' * (sampling.replicates > 1)} to every question were "
                f"drawn at temperature {sampling.temperature:g}, of at most {sampling.max_tokens} tokens, "
                f"each with its own seed derived from base seed {sampling.base_seed}"
            )
            told.setdefault(text, []).append(model)
    return [f"In {experiment} ({words.listed(models)}), {text}." for text, models in told.items()]


def _exclusions(material: Material) -> str:
    samples = {
        f"{model}, {name}: a random sample of {manifest.spec.sample} trials"
        for (model, name), manifest in material.manifests.items()
        if manifest.spec.sample is not None
    }
    text = "No trial was excluded; answers that are missing are named under quality."
    return text + (f" Not the whole list was asked: {words.listed(sorted(samples))}." if samples else "")


def _runs(material: Material) -> pd.DataFrame:
    rows = [
        {
            "model": model,
            "experiment": name,
            "begun": manifest.created[:10],
            "revision": str(manifest.spec.engine.get("revision")),
            "engine": str(manifest.spec.engine.get("engine")),
            "dtype": str(manifest.spec.engine.get("dtype")),
            "grace": manifest.grace,
            "trials": manifest.results.get("trials"),
            "trials_sha256": manifest.spec.trials_sha256[:12],
            "questions_sha256": manifest.spec.questions_sha256[:12],
            "template_sha256": str(manifest.spec.engine.get("template_sha256") or "none")[:12],
        }
        for (model, name), manifest in material.manifests.items()
    ]
    return pd.DataFrame(rows)
