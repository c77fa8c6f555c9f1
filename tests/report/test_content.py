"""What a report says: nothing that is false, no mean without its interval, no difference passed over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grace_client import analysis
from grace_client.analysis import example
from grace_client.analysis.figures._style import COLOURS
from grace_client.core.errors import ItemError
from grace_client.report import format, runs, section_process
from grace_client.report.blocks import Section, Table
from grace_client.report.runs import ReportData
from grace_client.report.sections import comparability, quality
from grace_client.report.theory import contrasts, study1, study2
from grace_client.run.manifest import NoiseFloor, Spread
from tests.report.conftest import Salted, make

SPREAD = Spread(sd=100, median=100, p95=100, max=100)
NOISE = NoiseFloor(questions=1, repeats=2, failed=0, loads=[1], seed=0, nats=SPREAD, points=SPREAD)


@pytest.fixture(scope="session")
def sections(found: ReportData) -> dict[str, Section]:
    """All sections of the report, before figures are drawn."""
    job = section_process.Job(found, None, nrp=False)
    made = (section_process.compute(name, job) for name in section_process.names(found))
    return {section.name: section for section in made if section is not None}


def part(name: str, data: ReportData) -> Section:
    """One section, before its figures are drawn."""
    made = section_process.compute(name, section_process.Job(data, None, nrp=False))
    assert made is not None
    return made


def table(section: Section, name: str) -> Table:
    """One of a section's tables."""
    (one,) = (table for table in section.tables if table.name == name)
    return one


def said(section: Section) -> str:
    """All paragraphs of a section and its part of the summary."""
    return "\n".join([*section.summary, *(item for item in section.content if isinstance(item, str))])


def changed(found: ReportData, model: str, experiment: str, **values: Any) -> ReportData:
    """The same data with another manifest: changed values of the engine, of the spec, or ``noise``."""
    run = found.manifests[model, experiment]
    spec = {name: value for name, value in values.items() if name in type(run.spec).model_fields}
    spec["engine"] = run.spec.engine | {
        name: value for name, value in values.items() if name not in spec and name != "noise"
    }
    new = run.model_copy(
        update={"spec": run.spec.model_copy(update=spec), "noise": values.get("noise", run.noise)}
    )
    return replace(found, manifests=found.manifests | {(model, experiment): new})


def bets(lapse: float, model: str = "m") -> pd.DataFrame:
    """Bets on six stories in each cell: on average those of the theory, with a uniform share."""
    parts = []
    for story in range(6):
        cells = analysis.rsa.predict_study1(4.0, lapse=lapse)
        cells["bet"] = 100 * cells.pop("prob") + 3 * np.cos((cells["state"] + 1) * (1 + np.pi * story / 3))
        stimulus = cells["access"] + cells["observe"] + f"s{story}"
        parts.append(cells.assign(model=model, stimulus=stimulus, item=f"s{story}", participant="p"))
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(trial_id=pd.factorize(whole["stimulus"])[0])


def test_no_effect_is_no_agreement() -> None:
    """A model with even bets shows no contrast. One that reasons as people do shows only their four."""
    flat, people = (contrasts.shown(analysis.study1.contrasts(bets(lapse))) for lapse in (1.0, 0.2))
    assert not flat["shown"].any()
    assert people["shown"].tolist() == people["people"].tolist() == [True] * 4 + [False] * 4
    for table, in_full_and_all in ((flat, "m 0 (0)"), (people, "m 4 (3)")):
        (sentence,) = contrasts.counts_shown(table, "")
        shown, _, not_shown = sentence.partition("Of the 4 differences that people do not show")
        assert in_full_and_all in shown and ": m 0." in not_shown
        assert "Holm" in shown and "over 6 stories" in shown and "agrees" not in sentence


def test_what_was_not_tested_is_no_miss() -> None:
    """Contrasts without a test are not counted. The page says which they are."""
    whole = bets(0.2)
    one = whole[whole["item"] == "s0"]
    table = contrasts.shown(analysis.study1.contrasts(one))
    assert table["shown"].isna().all()
    (sentence,) = contrasts.counts_shown(table, " in free text")
    assert sentence.startswith("None of the 8 differences could be tested in free text")
    full = whole[(whole["access"] == "3") | (whole["item"] == "s0")]
    counted, missing = contrasts.counts_shown(contrasts.shown(analysis.study1.contrasts(full)), "")
    assert ": m 3 (3). Of the 4 differences that people do not show" in counted
    assert missing.endswith(": 5 of m.")


def test_an_effect_against_the_hypothesis_is_called_so() -> None:
    """The page names an interval below 0, and says why its p is near 1."""
    effects = analysis.study1.access_effects(example.scored("study1"))
    turned = effects.assign(difference=-effects["difference"], low=-effects["high"], high=-effects["low"])
    assert "goes against the hypothesis: example (“2”, 2 over 3" in contrasts.hypothesis(turned, "")
    assert "against the hypothesis" not in contrasts.hypothesis(effects, "")


def test_a_preference_for_a_label_is_no_effect_of_access() -> None:
    """A model that always bets on state 1 shows planned contrasts, but no effect of access."""
    frame = bets(1.0)
    preference = frame.assign(bet=frame["bet"] + 15.0 * (frame["state"] == 1) + np.sin(7.0 * frame.index))
    assert contrasts.shown(analysis.study1.contrasts(preference))["shown"].sum() >= 4
    effects = analysis.study1.access_effects(preference)
    assert (effects["p_holm"] > 0.05).all()
    sentence = contrasts.hypothesis(effects, "")
    assert "m, over 6 stories: “2”, 2 over 3: " in sentence and "< .001" not in sentence
    section = Section("s", "S")
    contrasts.add(section, ReportData({}, {}, {}), preference, "study1-exp2", "contrasts")
    assert "may be a preference for a label" in section.summary[-1]
    reasons = analysis.study1.access_effects(bets(0.2))
    assert (reasons["difference"] > 20).all() and reasons["p"].isna().sum() == 0


def test_a_difference_below_the_noise_floor_is_not_shown(found: ReportData) -> None:
    """A difference below the noise floor is not shown, however small its p value."""
    frame = example.scored("study1").assign(model="alpha")
    sure = contrasts.shown(analysis.study1.contrasts(frame))["shown"].sum()
    assert sure >= 3
    for noisy, count in ((found, sure), (changed(found, "alpha", "study1-exp2", noise=NOISE), 0)):
        section = Section("s", "S")
        contrasts.add(section, noisy, frame, "study1-exp2", "contrasts")
        own = table(section, "contrasts").frame
        assert own["shown"].sum() == count
        assert (own["p_holm"] < 0.05).sum() >= sure


def test_models_that_were_not_asked_the_same_are_named(found: ReportData) -> None:
    """Differences in trial lists, samples and questions are named. Without differences nothing is said."""
    assert comparability.models(found) == comparability.runs(found) == []
    assert "All models of an experiment got the same trials" in said(quality.section(found))
    for field, value, what in (
        ("trials_sha256", "f" * 64, "trial lists"),
        ("sample", None, "samples"),
        ("questions_sha256", "f" * 64, "questions"),
    ):
        other = changed(found, "beta", "study2-exp2", **{field: value})
        (sentence,) = comparability.models(other)
        assert sentence.startswith(f"Review: study2-exp2: models got different {what} (alpha: ")
        assert "beta: " in sentence
    section = quality.section(other)
    assert sentence in section.summary
    assert sentence in section.content
    sampling = found.manifests["beta", "study2-exp1"].spec.sampling
    assert sampling is not None
    hot = changed(found, "beta", "study2-exp1", sampling=sampling.model_copy(update={"temperature": 1.5}))
    (sentence,) = comparability.models(hot)
    assert "models differ in sampling" in sentence
    assert "temperature 1.5" in sentence


def test_runs_of_one_model_that_differ_are_named(found: ReportData) -> None:
    """Differences in dtype, libraries and template are named. The methods give the engine of every run."""
    other = changed(
        found, "beta", "study1-exp2", dtype="float16", versions={"vllm": "9.9"}, template_sha256="f" * 64
    )
    differences = comparability.runs(other)
    assert [line.partition(" (")[0] for line in differences] == [
        f"Review: runs of beta differ in {what}" for what in ("dtype", "chat template", "vllm")
    ]
    assert set(differences) <= set(quality.section(other).summary)
    text = said(part("methods", other))
    for value in ("dtype float64 in ", "dtype float16 in study1-exp2", "vllm 9.9 in study1-exp2"):
        assert value in text
    assert "dtype float64," in said(part("methods", found)), "equal in all runs: named once"


def test_methods_say_what_the_means_leave_out(found: ReportData, tmp_path: Path) -> None:
    """Trials without bets and answers without a meaning are counted."""

    def fault(text: str) -> None:
        if "Exactly 3" in text and "looked at 1 of the 3" in text:
            raise ItemError("nan", "the model overflowed")

    run = make(tmp_path / "some", Salted("some", fault=fault), "study1-exp2", sample=30)
    some = runs.load([run])
    lost = analysis.study1.bets(some.frames["study1-exp2"])["bet"].isna().sum() // 3
    text = said(part("methods", some))
    assert f"some, study1-exp2: {lost} of 150 answers failed and {lost} of 30 trials have no bets" in text
    whole = replace(found, frames={"study1-exp2": found.frames["study1-exp2"]})
    assert "The means contain every answer" in said(part("methods", whole))
    free = found.frames["study2-exp1"].copy()
    free.loc[(free["model"] == "beta") & (free["trial_id"] == free["trial_id"].iloc[0]), "structured"] = (
        "unparsed"
    )
    unclear = replace(found, frames={"study2-exp1": free})
    assert "beta, study2-exp1: 2 of 80 answers have no clear meaning" in said(part("methods", unclear))


def test_percentages_on_all_states_are_a_clear_answer(found: ReportData) -> None:
    """An answer with percentages on all states has a clear meaning, also without a number."""
    frame = found.frames["study1-exp1"]
    number = (frame["question"] == "number") & (frame["model"] == "beta")
    divided = frame.assign(**{f"bet_{s}": np.where(number, 25.0, np.nan) for s in range(4)})
    divided["structured"] = frame["structured"].mask(number, "unparsed")
    only = replace(found, frames={"study1-exp1": divided})
    assert "Free text of study1-exp1 that has a clear meaning: alpha 100.0% and beta 100.0%" in said(
        quality.section(only)
    )
    bare = replace(only, frames={"study1-exp1": divided.drop(columns=[f"bet_{s}" for s in range(4)])})
    assert "Review: beta, study1-exp1: 50.0%" in said(quality.section(bare))


def test_no_mean_stands_without_its_interval(sections: dict[str, Section]) -> None:
    """In every table each mean has an interval, also those of people."""
    tables = [table for section in sections.values() for table in section.tables]
    assert len(tables) > 30
    for one in tables:
        heads = [head for head, _ in format.cells(one.shown)[0]]
        assert not {"mean", "share", "low", "high", "estimate", "difference", "r", "JS"} & set(heads) or (
            one.name.endswith("-cells")
        ), one.name
        if "people" in one.shown.columns:
            assert one.shown["people"].dtype == bool or "people [95% interval]" in heads
    model = table(sections["study2-exp1"], "study2-free-negation-model")
    assert [head for head, _ in format.cells(model.shown)[0]][2] == "estimate [95% interval]"


def test_people_in_words_are_those_of_the_reference(
    sections: dict[str, Section], found: ReportData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shares and intervals of people are those of the published counts."""
    text = said(sections["study2-exp2"])
    for share in ("73% [67, 79]", "50% [43, 57]", "28% [22, 34]"):
        assert f": people {share}, alpha " in text
    human = analysis.reference.study2_negation()
    monkeypatch.setattr(analysis.reference, "study2_negation", lambda: human.assign(share=0.11))
    section = study2.free(found)
    assert section is not None
    assert "people 11% [67, 79]" in said(section)


def test_what_the_fit_to_people_is_worth(sections: dict[str, Section]) -> None:
    """The text has the number of free parameters of the fit, and says that the data are the same."""
    human = analysis.reference.study2().rename(columns={"share": "prob"})
    few = analysis.rsa.fit_study2(human, semantics=analysis.rsa.people().semantics)
    free = int(few.statistics["n_parameters"])
    text = said(sections["study2-exp2"])
    assert f"its {free + 32} free parameters to the answers of people that are shown here: {free} for" in text
    assert "and 32 for the meanings of the utterances" in text
    assert "over 96 shares, of which 84 are free" in text


def test_every_cell_has_its_option_mass(sections: dict[str, Section]) -> None:
    """Every scored experiment has a table of option mass by question and cell."""
    one = table(sections["quality"], "option-mass-study1-exp2").frame
    assert len(one) == 2 * 5 * 6
    assert {"access", "observe", "mean", "low", "high", "minimum"} <= set(one.columns)
    two = table(sections["quality"], "option-mass-study2-exp2").frame
    assert len(two) == 2 * 12


def test_every_kind_of_question_has_its_option_mass(found: ReportData) -> None:
    """Each kind of question has its own mean. state0 to state3 are one kind."""
    one, two = found.frames["study1-exp2"].copy(), found.frames["study2-exp2"].copy()
    alpha, knows = one["model"] == "alpha", one["question"] == "knowledge"
    one.loc[alpha & knows, "option_mass"] = 0.64
    one.loc[alpha & ~knows, "option_mass"] = 0.21
    two.loc[two["model"] == "alpha", "option_mass"] = 0.056
    some = replace(found, frames={"study1-exp2": one, "study2-exp2": two})
    (summary,) = (line for line in quality.section(some).summary if "option mass" in line)
    own = summary.partition(". beta: ")[0]
    assert own.startswith("Option mass is the probability that a model gives to all offered answers together")
    assert "Mean option mass by kind of question" in own and ". alpha: " in own
    for kind, mass in (
        ("study1-exp2, state", "0.210"),
        ("study1-exp2, knowledge", "0.640"),
        ("study2-exp2, utterance", "0.0560"),
    ):
        assert f"{kind} {mass} [" in own, own
    assert own.count("; ") == 2


def test_a_heat_map_of_each_model(found: ReportData) -> None:
    """Each heat map has a number in its name, unless there is only one model."""
    section = study1.scored(found)
    assert section is not None
    titles = {figure.name: figure.title for figure in section.figures if "percentages" in figure.name}
    assert titles == {
        f"study1-percentages-{i}": f"The elicited distributions of {model}"
        for i, model in ((1, "alpha"), (2, "beta"))
    }
    frame = found.frames["study1-exp2"]
    alone = study1.scored(replace(found, frames={"study1-exp2": frame[frame["model"] == "beta"]}))
    assert alone is not None
    assert "study1-percentages" in [figure.name for figure in alone.figures]


def test_a_model_looks_the_same_in_sections_that_lack_the_others(found: ReportData) -> None:
    """The second model has its own colour, also in a section without the first."""
    one, two = found.frames["study1-exp2"], found.frames["study1-null"]
    some = replace(
        found,
        frames={"study1-exp2": one[one["model"] == "beta"], "study1-null": two[two["model"] == "alpha"]},
    )
    for order in (["alpha", "beta"], ["beta", "alpha"]):
        frames = some.frames if order[0] == "beta" else dict(reversed(some.frames.items()))
        section_process.start(section_process.Job(replace(some, frames=frames), None, False))
        made = section_process.draw("study1-exp2")
        assert made is not None
        drawn = made.drawings["study1-knowledge"].lower()
        assert [colour.lower() in drawn for colour in COLOURS[:2]] == [name == "beta" for name in order]
