"""What a report says on the ways of asking."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from grace_client.analysis import example, ways
from grace_client.analysis._data.layout import WAY
from grace_client.report import runs, section_process
from grace_client.report.blocks import Figure, Section
from grace_client.report.runs import ReportData
from grace_client.report.sections import ways as asked
from grace_client.report.theory import registry
from tests.conftest import grace
from tests.report.conftest import Salted, make
from tests.report.test_any_study import STUDY

WAYS = """
ways:
  order: {listed: null, reversed: {order: reversed, questions: [sentence]}}
  scene:
    there: null
    outside: {texts: {scene: 'In {{ place }} there was {{ amount }} rain. A {{ tone }} voice says so.'}}
"""


def data_of(experiment: str, frame: pd.DataFrame) -> ReportData:
    """The data of one model's answers in several ways."""
    base = runs.in_base_way(frame)
    return ReportData({experiment: base}, example.manifests(experiment[:6]), asked={experiment: frame})


def section_of(data: ReportData, name: str) -> Section:
    """A section of the report."""
    section = section_process.compute(name, section_process.Job(data, None, nrp=False))
    assert section is not None
    return section


@pytest.fixture(scope="module")
def study1() -> tuple[ReportData, Section]:
    """Answers to Study 1 in four ways of a model that favours what stands first, and their section."""
    data = data_of("study1-exp2", example.asked("study1"))
    return data, asked.section(data, registry.headlines)


def test_a_result_that_turns_is_named_with_its_interval(study1: tuple[ReportData, Section]) -> None:
    """What is not on the same side in all ways stands in the summary; what holds is counted."""
    data, section = study1
    (sentence,) = section.summary
    assert "7 of 8 main results are on the same side in all 4 ways" in sentence
    turned = sentence[sentence.index("Not: ") :]
    assert turned.startswith(
        "Not: probability of yes to what the speaker knows (0.62 in the base way, over 4"
    )
    assert "is above 0.5 in 2 of 4 ways, depends most on order" in turned
    table = next(table for table in section.tables if table.name == "study1-exp2-ways").frame
    row = table[table["effect"].str.startswith("probability of yes")].iloc[0]
    frame = data.asked["study1-exp2"]
    yes = frame[(frame["question"] == "knowledge") & (frame["option"] == "yes")]
    each = yes.groupby(WAY)["prob_norm"].mean()
    assert row["mean"] == pytest.approx(each.mean())
    assert (row["minimum"], row["maximum"]) == pytest.approx((each.min(), each.max()))
    assert 0 <= row["low"] < row["minimum"] and row["maximum"] < row["high"] <= 1
    components = next(
        t for t in section.tables if t.name == "study1-exp2-knowledge-prob_yes-components"
    ).frame
    assert components.set_index("component")["variance"].idxmax() == "order"
    for figure in section.figures:
        assert figure.draw is not None
        figure.draw().draw()


@pytest.mark.parametrize("study", ["study1", "study2"])
def test_a_headline_says_what_other_ways_say(study: str) -> None:
    """The sentence on the hypothesis of each study has the mean over ways, its interval and its verdict."""
    frame = example.asked("study1") if study == "study1" else reversed_too(example.scored("study2"))
    data = data_of(f"{study}-exp2", frame)
    section = section_of(data, f"{study}-exp2")
    start = "How much larger is the lead" if study == "study1" else "How often bad news"
    sentence = next(one for one in section.summary if one.startswith(start))
    assert "in the base way of asking" in sentence
    count = frame[WAY].nunique()
    assert len(re.findall(rf"; over {count} ways of asking [−\d.]+%? \[", sentence)) == 3
    if study == "study2":
        assert "depends most on order" in sentence
    (scoring,) = (table for table in section.tables if table.name == f"{study}-exp2-scoring")
    assert scoring.frame["ways"].str.endswith("orders").all(), "the correction stands beside the raw values"


def reversed_too(frame: pd.DataFrame) -> pd.DataFrame:
    """Answers, and those of a reversed list: the model negates where it did not."""
    other = frame.copy()
    negated = other["option"].str.startswith("wasnt")
    swapped = (
        other["option"]
        .str.replace("wasnt_", "was_")
        .where(negated, other["option"].str.replace("was_", "wasnt_"))
    )
    keys = ["trial_id", "option"]
    values = frame.set_index(keys)[["prob_norm", "prob_raw", "logprob"]]
    other[values.columns] = values.loc[list(zip(other["trial_id"], swapped, strict=True))].to_numpy()
    parts = [
        frame.assign(way="base", way_order="listed", way_cue="base"),
        other.assign(way="order=reversed", way_order="reversed", way_cue="base"),
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def rain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two models in four ways, of any study, and one run of one of them in the base way alone."""
    folder = tmp_path_factory.mktemp("rain")
    (folder / "rain.yaml").write_text(STUDY + WAYS)
    rows = [f"{who},{place},{amount},{tone}\n" for who in "ab" for place in ("Ayr", "Bude", "Cork")
            for amount in ("little", "much") for tone in ("loud", "calm")]  # fmt: skip
    (folder / "rain.csv").write_text("who,place,amount,tone\n" + "".join(rows))
    for model in ("alpha", "beta"):
        make(folder / "runs" / model, Salted(model), f"{folder}/rain.yaml:talk", None, "full")
    make(folder / "plain", Salted("alpha"), f"{folder}/rain.yaml:talk", None)
    return folder


def test_any_study_in_several_ways(rain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contrasts and means say what the ways say; tables, curves and components of each headline."""
    out, tables = tmp_path / "report.html", tmp_path / "tables"
    assert grace(monkeypatch, "report", rain / "runs", "--out", out, "--tables", tables, "--quiet") == 0
    page = out.read_text()
    head = page[page.index("<header>") : page.index("</header>")]
    assert "rain-talk: asked in several ways" in head and "one way" not in head
    table = pd.read_csv(tables / "rain-talk-ways.csv")
    effects = ["wetter", "much rain is very wet", "sentence, probability of “a_bit”"]
    assert table.groupby("model")["effect"].apply(lambda own: list(own[:3])).to_list() == [effects, effects]
    assert (table["n_ways"] == 4).all() and table["mean"].notna().all()
    assert page.count("over 4 ways of asking") >= 2 * len(table.drop_duplicates("effect"))
    base = pd.read_csv(tables / "rain-talk-contrasts.csv").set_index(["model", "contrast"])["difference"]
    own = table[table["effect"].isin(effects[:2])].set_index(["model", "effect"])["base"]
    assert own.to_numpy() == pytest.approx(base.loc[own.index].to_numpy())
    for figure in ("contrasts-ways", "sentence-prob_a_bit-ways", "sentence-prob_a_bit-components"):
        assert f'id="figure-rain-talk-{figure}"' in page
    assert "The study file" not in page


def test_one_way_says_that_it_is_one(rain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in one way: the sentences say so, and how to ask in more."""
    out = tmp_path / "report.html"
    assert grace(monkeypatch, "report", rain / "plain", "--out", out, "--quiet") == 0
    page = out.read_text()
    assert "grace run rain-talk --ways one-by-one" in page
    assert "Planned contrasts, in one way of asking" in page and "means in one way of asking" in page
    assert "ways of asking" not in page[page.index('id="rain-talk"') :]


def test_runs_in_different_ways_are_named(rain: Path, tmp_path: Path) -> None:
    """Models that were asked in different ways are not the same questions."""
    shutil.copytree(rain / "runs" / "beta", tmp_path / "beta")
    data = runs.load([rain / "plain", tmp_path / "beta"])
    sentences = asked.section(data, registry.headlines).content
    assert "several ways (beta: 4 ways; alpha: one way)" in str(sentences[0])
    sentence = next(s for s in section_of(data, "rain-talk").summary if s.startswith("Planned contrasts"))
    assert sentence.count("over 4 ways of asking") == 2, "two contrasts of the model that was asked in four"
    quality = section_process.compute("quality", section_process.Job(data, None, nrp=False))
    assert quality is not None
    assert any(
        "models got different ways of asking (alpha: 1 way; beta: 4 ways)" in s for s in quality.summary
    )


def test_many_items_are_left_out_in_groups() -> None:
    """An interval over many stimuli takes sixty groups, the same in every way, with the mean of all."""
    frame = example.asked("study1")
    many = frame.assign(item=frame["stimulus"] + " " + frame["participant"])
    assert many["item"].nunique() > 60
    yes = many[(many["question"] == "knowledge") & (many["option"] == "yes")]

    def effect(answers: pd.DataFrame) -> float:
        return float(answers["prob_norm"].mean())

    found = ways.per_item(yes, effect)
    assert found.groupby(WAY)["item"].nunique().eq(60).all()
    assert found.groupby(WAY)["value"].mean().to_numpy() == pytest.approx(
        yes.groupby(WAY)["prob_norm"].mean().to_numpy(), rel=1e-3
    )
    assert isinstance(found["item"].iloc[0], str) and found["item"].str.startswith("group ").all()


def test_a_curve_of_every_headline_has_its_name() -> None:
    """Names of figures are unique: they are files."""
    data = data_of("study2-exp2", reversed_too(example.scored("study2")))
    section = asked.section(data, registry.headlines)
    names = [item.name for item in section.content if isinstance(item, Figure)]
    assert len(names) == len(set(names)) >= 3
