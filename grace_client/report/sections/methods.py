"""The methods section of a paper, from the manifests of the runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from grace_client import __version__, analysis
from grace_client.report import format
from grace_client.report.blocks import Section, Table
from grace_client.report.runs import ReportData
from grace_client.report.sections import comparability
from grace_client.run.layout import OK
from grace_client.studies._syntax.parts import Source

NRP = (
    "This work used resources available through the National Research Platform (NRP) at the University of "
    "California, San Diego. NRP has been developed, and is supported in part, by funding from National "
    "Science Foundation, from awards 1730158, 1540112, 1541349, 1826967, 2112167, 2100237, and 2120019, as "
    "well as additional funding from community partners."
)
"""As the usage guidelines of CSU TIDE, a part of the cluster, ask users to write (read 2026-11)."""

TITLE = "Methods"
MOST_ITEMS = 30
"""Most items that a sentence names."""
LeftOut = Callable[[str, str], list[str]]


def section(
    data: ReportData, *, nrp: bool, theory: Sequence[str] = (), left_out: LeftOut | None = None
) -> Section:
    """Models, engines, prompts, options, sampling, exclusions, statistics, references.

    Parameters
    ----------
    data : ReportData
        The data of the report.
    nrp : bool
        Whether the runs used the National Research Platform.
    theory : sequence of str
        Paragraphs on what a study compares its answers with.
    left_out : callable, optional
        From an experiment and a model to what the means of its study leave out besides.
    """
    part = Section("methods", TITLE)
    scored = [name for name, frame in data.frames.items() if "option" in frame.columns]
    part.content.append(_models(data))
    if scored:
        part.content.append(
            f"In {format.listed(scored)} every answer of a closed set was scored. An answer can be written "
            "in several ways (surface forms). For each form, the log-probabilities of its tokens after the "
            "chat-templated prompt were added up, without temperature. The probability of an answer is the "
            "sum over its forms. The sum over all answers of the set is the option mass. The probabilities "
            "were divided by the option mass. Equal questions were asked once."
        )
    for name in data.frames:
        if name not in scored:
            part.content += _sampling(data, name)
        part.content += _reversed(data, name)
    with part.block("What the means leave out"):
        part.content += _exclusions(data, left_out or (lambda *_: []))
    part.content += [
        "Means are over trials, and every trial counts the same. The 95% intervals show how far a mean "
        "could move with other texts: with other items (stories, scenes), or with other stimuli if a study "
        "has no items. Trials of one item are nearly copies of each other, so they do not count as separate "
        "observations. Intervals of shares, of probabilities and of other values with a least and a "
        "largest possible value are those of Clopper and Pearson for an effective number of answers (Korn "
        "and Graubard). They stay within these limits and always have a width. Tests are corrected by "
        "Holm's method within a model where a column says so. The analyses used "
        f"grace {__version__}.",
        Table("runs", "Runs", _runs(data), "Equal hashes: equal trial lists, questions or templates."),
    ]
    for name in data.frames:
        experiment = data.experiment(name)
        with part.block(f"The wording of the prompts of {experiment.title}"):
            part.content.append(
                Table(
                    f"prompts-{name}",
                    f"Prompts of {name} ({experiment.title}), for the first trial of the list",
                    analysis.wording(experiment, data.lists[name][0]),
                    "As sent, without the model's chat template. In brackets: surface forms of an option.",
                    long=True,
                )
            )
    part.content += [*theory, *_sources(data)]
    if nrp:
        part.content.append(f"Acknowledgement that the cluster asks for: “{NRP}”")
    return part


def _models(data: ReportData) -> str:
    lines = []
    for model in data.models:
        own = {name: run for (one, name), run in data.manifests.items() if one == model}
        described = {name: comparability.engine(run) for name, run in own.items()}
        parts = []
        for key in dict.fromkeys(key for engine in described.values() for key in engine):
            values: dict[str, list[str]] = {}
            for name, engine in described.items():
                values.setdefault(engine.get(key, "not recorded"), []).append(name)
            # A value that is not the same in all runs is followed by its runs.
            parts += [
                f"{key} {value}" + f" in {format.listed(names)}" * (len(values) > 1)
                for value, names in values.items()
            ]
        revision = next(iter(own.values())).spec.engine.get("revision") or "not recorded"
        lines.append(f"{model} (revision {revision}; {', '.join(parts)})")
    return f"Model{'s' * (len(lines) > 1)}: {'; '.join(lines)}."


def _sampling(data: ReportData, experiment: str) -> list[str]:
    lines: dict[str, list[str]] = {}
    for (model, name), manifest in data.manifests.items():
        sampling = manifest.spec.sampling
        if name == experiment and sampling is not None:
            text = (
                f"{format.plural(sampling.replicates, 'answer')} to every question "
                f"{'was' if sampling.replicates == 1 else 'were'} drawn at temperature "
                f"{sampling.temperature:g}, with at most {sampling.max_tokens} tokens each. The seed of each "
                f"answer is derived from base seed {sampling.base_seed}"
            )
            if sampling.stop:
                cues = format.listed([f"'{cue.strip()}'" for cue in sampling.stop])
                text += f". An answer ends where the model writes {cues}"
            lines.setdefault(text, []).append(model)
    return [f"In {experiment} ({format.listed(models)}), {text}." for text, models in lines.items()]


def _reversed(data: ReportData, name: str) -> list[str]:
    """Which trials turn the scale of a question round; a sentence for each question of the study file."""
    experiment, frame = data.experiment(name), data.frames[name]
    sentences = []
    for ask in experiment.file.ask:
        asked = [question for question, kind in experiment.kinds.items() if kind.name == ask.name]
        rows = frame[frame["question"].isin(asked)]
        if ask.reverse is None or rows.empty:
            continue
        keyed = rows[rows["reversed"]]
        trials = f"{keyed['trial_id'].nunique()} of {rows['trial_id'].nunique()} trials"
        items = sorted(map(str, keyed["item"].unique()))
        # An item may be keyed in both ways.
        whole = not set(items) & set(rows.loc[~rows["reversed"], "item"].astype(str))
        known = f"; items: {format.listed(items)}" if items and whole and len(items) <= MOST_ITEMS else ""
        sentences.append(
            f"In {name}, the answers to {ask.name} are reverse-keyed where the study file's condition "
            f"`{ask.reverse}` holds ({trials}{known}). There its scale is turned round in means, medians and "
            "distributions; outcomes that are the probability of one option stay as they were answered."
        )
    return sentences


def _exclusions(data: ReportData, also: LeftOut) -> list[str]:
    samples = sorted(
        f"{model}, {name}: a random sample of {manifest.spec.sample} trials"
        for (model, name), manifest in data.manifests.items()
        if manifest.spec.sample is not None
    )
    gone = [sentence for name in data.frames for sentence in _left_out(name, data, also)]
    text = (
        f"Some answers have no value and are in no mean: {'; '.join(gone)}. Nothing else was left out."
        if gone
        else "The means contain every answer to every trial that was asked. Nothing was left out."
    )
    return [text, *([f"Not all trials were asked: {format.listed(samples)}."] if samples else [])]


def _left_out(name: str, data: ReportData, also: LeftOut) -> list[str]:
    """What the means of an experiment leave out, by model."""
    sentences = []
    for model, own in data.frames[name].groupby("model", sort=False):
        free = "response" in own.columns
        questions = own if free else own.drop_duplicates(["trial_id", "question"])
        failed = questions["status"] != OK
        unclear = ~failed & analysis.quality.unparsed(own) if "structured" in own.columns else failed & False
        reasons = [
            f"{count:,} of {len(questions):,} answers {why}"
            for count, why in ((failed.sum(), "failed"), (unclear.sum(), "have no clear meaning"))
            if count
        ]
        reasons += also(name, str(model))
        if reasons:
            sentences.append(f"{model}, {name}: {' and '.join(reasons)}")
    return sentences


def _sources(data: ReportData) -> list[str]:
    """What the studies, and the data of people in them, are taken from."""
    studies = {one.study.name: one.study for one in map(data.experiment, data.frames)}
    return [
        f"{study.title} ({study.name}): {' '.join(map(_cited, sources))}"
        for study in studies.values()
        if (sources := [*_several(study.file.source), *(p.source for p in study.file.people if p.source)])
    ]


def _several(source: Source | tuple[Source, ...]) -> tuple[Source, ...]:
    return source if isinstance(source, tuple) else (source,)


def _cited(source: Source) -> str:
    """Such as ``Author (2020). Title. doi:10.1/x``."""
    more = (f"doi:{source.doi}" if source.doi else "", source.url or "")
    return " ".join(filter(None, (source.text, *more)))


def _runs(data: ReportData) -> pd.DataFrame:
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
        for (model, name), manifest in data.manifests.items()
    ]
    return pd.DataFrame(rows)
