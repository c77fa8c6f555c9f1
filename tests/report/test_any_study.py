"""A report on a study that grace has never seen: a file with its own list."""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grace_client import analysis
from grace_client.report import runs
from grace_client.report.blocks import RAISE
from tests.conftest import ROOT, grace
from tests.report.conftest import Salted, make, structure
from tests.report.test_report import anchors

STUDY = """
grace: 1
study: rain
title: Talk about rain
source: {text: 'Author, A. (2020). Rain. Journal of Tests, 1, 1-2.', doi: 10.0000/rain}
trials:
  file: rain.csv
  participant: who
  item: place
  conditions: [amount, tone]
  columns: {who: , place: , amount: {values: [little, much]}, tone: {values: [loud, calm]}}
options:
  sentences: {cross: {degree: [a bit, very], word: [wet, dry]}, say: 'It is {{ degree }} {{ word }}'}
  wetness: {values: [1, 2, 3, 4, 5], say: '{{ name }}', forms: written, end: full stop}
texts:
  scene: There was {{ amount }} rain in {{ place }}. Somebody says so in a {{ tone }} voice.
experiments:
  talk:
    title: Talk about rain, sentences and ratings
    ask:
      - {name: sentence, prompt: '{{ scene }} What do they say? {{ options|join(", ") }}', options: sentences}
      - name: wet
        messages: [{system: You rate places.}, {user: '{{ scene }} How wet is it, from 1 to 5?'}]
        options: wetness
        reverse: tone == 'calm'
    contrasts:
      - {name: wetter, question: wet, greater: {amount: much}, lesser: {amount: little}, smallest: 0.5}
      - {name: much rain is very wet, question: sentence, outcome: prob_very_wet,
         greater: {amount: much, tone: loud}, lesser: {amount: little, tone: loud}}
    model: mean ~ amount + (1 | place)
    figures: [{x: tone, colour: amount, question: wet}]
  words:
    ask:
      - {name: sentence, prompt: '{{ scene }} What do they say?', read: {choice: sentences}}
"""
BARE = """
grace: 1
study: bare
title: Bare questions
trials: {file: bare.csv, columns: {text: }}
experiments:
  only:
    ask: [{name: answer, prompt: '{{ text }}', options: [yes, no]}]
"""


@pytest.fixture(scope="module")
def rain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two models: both experiments of a study with conditions, and one without."""
    folder = tmp_path_factory.mktemp("rain")
    (folder / "rain.yaml").write_text(STUDY)
    (folder / "bare.yaml").write_text(BARE)
    cells = product("abc", ("Ayr", "Bude", "Cork", "Deal"), ("little", "much"), ("loud", "calm"))
    rows = "".join(f"{','.join(cell)}\n" for cell in cells)
    (folder / "rain.csv").write_text(f"who,place,amount,tone\n{rows}")
    (folder / "bare.csv").write_text("text\nIs it wet?\nIs it dry?\nIs it late?\n")
    for model in ("alpha", "beta"):
        for name in ("rain.yaml:talk", "rain.yaml:words", "bare.yaml"):
            engine = Salted(model)
            path = make(
                folder / "runs" / model / name.replace(".yaml:", "-"), engine, str(folder / name), None
            )
            if "words" in name:
                structure(path, values=["a bit_wet", "very_wet"])
    return folder / "runs"


def test_a_report_on_any_study(rain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections, tables and figures of a study that is a file. Means have intervals and baselines."""
    out, tables = tmp_path / "report.html", tmp_path / "tables"
    assert grace(monkeypatch, "report", rain, "--out", out, "--tables", tables, "--quiet") == 0
    page = out.read_text()
    assert anchors(page) == [
        *("summary", "quality", "ways", "bare-only", "rain-talk", "rain-words", "methods", "downloads")
    ]
    assert "Author, A. (2020). Rain. Journal of Tests, 1, 1-2. doi:10.0000/rain" in page
    assert "The study declares no conditions" in page and "The study declares no items" in page
    assert "You rate places." in page, "the prompt has all its turns"
    assert "In rain-talk, the answers to wet are reverse-keyed where" in page
    assert "holds (24 of 48 trials)" in page and "The scale of reverse-keyed trials is turned round." in page
    shares = pd.read_csv(tables / "rain-talk-distributions.csv")
    assert shares.groupby(["model", "question", "amount", "tone"])["mean"].sum().to_numpy() == pytest.approx(
        1
    )
    assert shares.groupby("question")["chance"].unique().to_dict() == {"sentence": [0.25], "wet": [0.2]}
    means = pd.read_csv(tables / "rain-talk-means.csv")
    turned = shares[shares["question"] == "wet"].assign(mean=lambda t: t["mean"] * t["answer"].astype(float))
    conditions = ["model", "amount", "tone"]
    np.testing.assert_allclose(
        turned.groupby(conditions)["mean"].sum(),
        means[means["outcome"] == "mean"].groupby(conditions)["mean"].sum(),
    )
    chances = means.groupby("outcome")["chance"].first().to_dict()
    assert chances == {"mean": 3, **dict.fromkeys(("prob_a_bit", "prob_very", "prob_wet", "prob_dry"), 0.5)}
    assert set(means["n_distinct"]) == {4} and means[["low", "high"]].notna().all(axis=None)
    contrasts = pd.read_csv(tables / "rain-talk-contrasts.csv")
    assert contrasts.groupby("model")["contrast"].nunique().tolist() == [2, 2]
    assert {"difference", "low", "high", "p_holm", "smallest"} <= set(contrasts.columns)
    assert "table-rain-talk-model" in page and "table-rain-words-means" in page
    figures = re.findall(r'<figure id="figure-([^"]+)"', page)
    assert set(figures) - {"option-mass"} == {
        *("rain-talk-sentence", "rain-talk-figure-1", "rain-words-sentence", "bare-only-answer")
    }


def test_a_part_of_any_study_fails_alone(
    rain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error in one part is a sentence there; all other parts are complete."""
    out = tmp_path / "report.html"
    monkeypatch.delenv(RAISE)
    monkeypatch.setattr(analysis, "cell_means", lambda *_, **__: 1 / 0)
    assert grace(monkeypatch, "report", rain / "alpha", "--out", out, "--json") == 1
    assert (
        "The means of the outcomes could not be computed" in json.loads(capsys.readouterr().out)["faults"][0]
    )
    page = out.read_text()
    for there in ("table-rain-talk-distributions", "table-rain-talk-contrasts", "table-runs"):
        assert f'id="{there}"' in page


def test_a_wrong_contrast_costs_itself_alone(
    rain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a sentence in its place, and exit code 1; the other contrast stays."""
    run = tmp_path / "run"
    shutil.copytree(rain / "alpha" / "rain-talk", run)
    # A run of an earlier grace, which did not check the plan.
    faulty = STUDY.replace("greater: {amount: much}, lesser", "greater: {amount: mcuh}, lesser")
    (run / "study.yaml").write_text(faulty)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["study"]["study.yaml"] = hashlib.sha256(faulty.encode()).hexdigest()
    del manifest["sha256"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.delenv(RAISE)
    out, tables = tmp_path / "report.html", tmp_path / "tables"
    assert grace(monkeypatch, "report", run, "--out", out, "--tables", tables, "--json") == 1
    told = capsys.readouterr()
    (sentence,) = json.loads(told.out)["failed"]
    assert sentence.startswith(
        "The planned contrast “wetter” could not be computed: contrast 'wetter': amount has no level 'mcuh'. "
        "Did you mean 'much'?"
    )
    assert f"grace: {sentence}" in told.err
    assert sentence in html.unescape(out.read_text())
    assert set(pd.read_csv(tables / "rain-talk-contrasts.csv")["contrast"]) == {"much rain is very wet"}


def test_two_studies_of_one_name_are_refused(rain: Path, tmp_path: Path) -> None:
    """Runs whose study files declare other options are not averaged."""
    changed = STUDY.replace("[1, 2, 3, 4, 5]", "[1, 2, 3, 4]")
    (tmp_path / "rain.yaml").write_text(changed)
    (tmp_path / "rain.csv").write_bytes((rain.parent / "rain.csv").read_bytes())
    other = make(tmp_path / "run", Salted("gamma"), f"{tmp_path / 'rain.yaml'}:talk", None)
    with pytest.raises(Exception, match="both of rain-talk, but their study files declare other"):
        runs.load([rain / "alpha", other])


GENERIC = [
    path for folder in ("report", "report/sections") for path in (ROOT / "grace_client" / folder).glob("*.py")
]


@pytest.mark.parametrize("path", GENERIC, ids=lambda path: path.stem)
def test_what_is_for_any_study_names_none(path: Path) -> None:
    """Conditions of Studies 1 and 2 have their names in the theory of these studies alone."""
    assert not re.findall(r"(?i)\b(?:access|observe|goals?|states?)\b", path.read_text())
