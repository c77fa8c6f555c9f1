"""How the answers were made, from the runs' manifests, so that a paper can say it."""

from __future__ import annotations

import pandas as pd

from grace_client import __version__, analysis
from grace_client.analysis._data.files import unread
from grace_client.core.errors import SpecError
from grace_client.report import format
from grace_client.report.blocks import Section, Table
from grace_client.report.runs import TITLES, Material
from grace_client.report.sections import comparability, stories
from grace_client.run import layout

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


TITLE = "Methods"


def section(material: Material, *, nrp: bool) -> Section:
    """Models, engines, prompts, options, sampling, exclusions, statistics, references."""
    found = Section("methods", TITLE)
    scored = [name for name, frame in material.frames.items() if "option" in frame.columns]
    free = [name for name in material.frames if name not in scored]
    found.content.append(_models(material))
    if scored:
        found.content.append(
            f"In {format.listed(scored)} every answer of a closed set was scored. An answer can be written "
            "in several ways (surface forms). For each form, the log-probabilities of its tokens after the "
            "chat-templated prompt were added up, without temperature. The probability of an answer is the "
            "sum over its forms. The sum over all answers of the set is the option mass; the answers' "
            "probabilities were divided by it. Equal questions were asked once."
        )
    for name in free:
        found.content += _sampling(material, name)
    with found.block("What the means leave out"):
        found.content += _exclusions(material)
    found.content.append(
        "Means are over trials, and every trial counts the same. The 95% intervals show how far a mean could "
        "move with other texts: in Study 1 they are over stories, in Study 2 over domains. Trials of one "
        "story or domain are nearly copies of each other, so they do not count as separate observations. "
        "Intervals of shares, of probabilities and of other values with a least and a largest possible value "
        "are those of Clopper and Pearson for an effective number of answers (Korn and Graubard). They never "
        "leave the bounds and never have a width of 0. Intervals of agreement with people are over stories "
        "or domains and over people's answers; the cells of the design are fixed. Tests are corrected by "
        f"Holm's method within a model where a column says so. Analyses were made with grace {__version__}."
    )
    found.content.append(
        Table("runs", "Runs", _runs(material), "Hashes tell runs with equal trial lists and questions.")
    )
    for name in material.frames:
        with found.block(f"The wording of the prompts of {TITLES[name]}"):
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
    found.content += stories.asked(material)
    found.content.append("Design and human results: " + " ".join(cited))
    if nrp:
        found.content.append(f"Acknowledgement that the cluster asks for: “{NRP}”")
    return found


def _models(material: Material) -> str:
    told = []
    for model in material.models:
        own = {name: run for (one, name), run in material.manifests.items() if one == model}
        described = {name: comparability.engine(run) for name, run in own.items()}
        parts = []
        for key in dict.fromkeys(key for engine in described.values() for key in engine):
            values: dict[str, list[str]] = {}
            for name, engine in described.items():
                values.setdefault(engine.get(key, "not recorded"), []).append(name)
            # What differs between runs is told of each of them.
            parts += [
                f"{key} {value}" + f" in {format.listed(names)}" * (len(values) > 1)
                for value, names in values.items()
            ]
        revision = next(iter(own.values())).spec.engine.get("revision") or "not recorded"
        told.append(f"{model} (revision {revision}; {', '.join(parts)})")
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
            if sampling.stop:
                cues = format.listed([f"'{cue.strip()}'" for cue in sampling.stop])
                text += f"; an answer ends where the model goes on with {cues}"
            told.setdefault(text, []).append(model)
    return [f"In {experiment} ({format.listed(models)}), {text}." for text, models in told.items()]


def _exclusions(material: Material) -> list[str]:
    samples = {
        f"{model}, {name}: a random sample of {manifest.spec.sample} trials"
        for (model, name), manifest in material.manifests.items()
        if manifest.spec.sample is not None
    }
    gone = [sentence for name, frame in material.frames.items() for sentence in _left_out(name, frame)]
    text = (
        f"Some answers have no value and are in no mean: {'; '.join(gone)}. Nothing else was left out."
        if gone
        else "Every answer of every trial that was asked is in the means; nothing was left out."
    )
    return [text, *([f"Not the whole list was asked: {format.listed(sorted(samples))}."] if samples else [])]


def _left_out(name: str, frame: pd.DataFrame) -> list[str]:
    """What the means of an experiment leave out, per model."""
    found = []
    for model, own in frame.groupby("model", sort=False):
        told = []
        if "response" in own.columns:
            failed = own["status"] != layout.OK
            unclear = ~failed & unread(own) if "structured" in own.columns else failed & False
            told += [
                f"{count:,} of {len(own):,} answers {why}"
                for count, why in ((failed.sum(), "failed"), (unclear.sum(), "have no clear meaning"))
                if count
            ]
        else:
            asked = own.drop_duplicates(["trial_id", "question"])
            failed = asked["status"] != layout.OK
            if failed.any():
                told.append(f"{failed.sum():,} of {len(asked):,} answers failed")
            if name == "study1-exp2" and (lost := _without_bets(own, asked)):
                told.append(
                    f"{lost:,} of {asked['trial_id'].nunique():,} trials have no bets, since one of "
                    "their four states has no percentage or all are 0"
                )
        if told:
            found.append(f"{model}, {name}: {' and '.join(told)}")
    return found


def _without_bets(own: pd.DataFrame, asked: pd.DataFrame) -> int:
    """How many trials `study1.bets` leaves out."""
    try:
        bets = analysis.study1.bets(own)
    except SpecError:
        return int(asked["trial_id"].nunique())
    return int(asked["trial_id"].nunique() - bets.dropna(subset=["bet"])["trial_id"].nunique())


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
