"""The commands that lie beside a run's tables read every answer as it was given."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from grace_client import studies
from grace_client.analysis import read
from grace_client.core.errors import ItemError
from grace_client.core.questions import Generation, Prompt, Sampling
from grace_client.extraction import answers
from grace_client.run import layout, tables
from grace_client.run.folder import RunFolder
from grace_client.run.manifest import Extraction, SamplingSpec
from grace_client.run.runner import run
from tests.conftest import own_list
from tests.support.deterministic import DeterministicEngine

SAID = (
    *("None", "NA", "nan", "null", "N/A", "NaN", "NULL", "none", "<NA>", "#N/A", "n/a", "-nan", "1.#IND"),
    *("", " ", " 2 ", "\t1", "2/3", "1-2", "=1+1", "@x", "+1", "-", "1e5", "007", "1.0", "TRUE", "F", "Inf"),
    *("it’s", "é", "模型", "\ufeffx", "a\nb", "\n", 'a "b", c', '"', "'", ",", ";", "#", "\\", "\\N"),
)
"""Answers that programs take for something else: missing values, numbers, dates, formulas, ends of rows."""
UNUSUAL = ("a\rb", "a\r\nb")
"""Answers that some readers of CSV change. Parquet keeps them."""


class Says(DeterministicEngine):
    """Gives one answer after the other, thinks about each of them, and fails once."""

    def __init__(self, said: tuple[str, ...]) -> None:
        super().__init__()
        self.said = itertools.chain(said, itertools.repeat("2"))

    def concurrency(self, *, scored: bool) -> int:
        return 1

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        answer = next(self.said)
        if answer == "2":
            raise ItemError("timeout", "NA")
        thought = answer if answer.strip() else None
        return Generation(answer, "stop", tuple(await self.tokenize(prompt)), (1,), thought)


def asked(path: Path, said: tuple[str, ...]) -> list[str | None]:
    """A run whose answers are those, with its tables; its answers in the order of the tables."""

    async def work() -> None:
        engine = Says(said)
        experiment = studies.experiment("study2-exp1")
        listed = own_list("study2")
        await run(
            RunFolder.create(
                path,
                experiment,
                listed,
                await engine.describe(),
                sample=12,
                sampling=SamplingSpec(replicates=4),
            ),
            engine,
        )

    asyncio.run(work())
    folder = RunFolder.open(path)
    tables.export(folder)
    found = answers.by_rules(folder)
    answers.write(folder, found, Extraction(questions=answers.summary(found)))
    return [answer.text if answer.status == "ok" else None for answer in found]


def commands(path: Path, language: str) -> list[str]:
    """The commands that the note gives."""
    note = (path / layout.README).read_text()
    return re.findall(rf"^ +{language}: +(.*)$", note, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str | None]]:
    path = tmp_path_factory.mktemp("odd")
    return path, asked(path, SAID)


def test_the_answers_are_all_there(odd: tuple[Path, list[str | None]]) -> None:
    """Each of them once, and questions without an answer as well."""
    _, said = odd
    assert sorted(text for text in said if text is not None) == sorted(SAID)
    assert None in said


def test_pandas_reads_every_answer_as_it_is(
    odd: tuple[Path, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the note's own commands; the defaults would lose some."""
    path, said = odd
    monkeypatch.chdir(path)
    given = commands(path, "Python")
    assert len(given) == 5, "Parquet, long, wide, thoughts and structured answers"
    for command in given:
        frame = eval(command, {"pd": pd})
        assert len(frame) == len(said)
        if "response" not in frame:
            continue
        ok = frame["status"] == "ok"
        assert frame["response"].fillna("")[ok].tolist() == [text for text in said if text is not None]
        assert frame["response"][~ok].isna().all()
        if "reason" in frame:
            assert set(frame["reason"].dropna()) - {""} == {"NA"}
        if "reasoning" in frame:
            thoughts = frame["reasoning"][ok & frame["reasoning"].notna()]
            assert thoughts.tolist() == [text for text in said if text and text.strip()]
    plain = pd.read_csv(next(path.glob("*_raw_responses_*_long.csv")))
    assert plain["response"].notna().sum() < sum(text is not None for text in said) - 5


def test_every_form_is_read_as_it_is(odd: tuple[Path, list[str | None]], tmp_path: Path) -> None:
    """`analysis.read` of the run, of its long table alone and of its wide table alone."""
    path, said = odd
    whole = read(path)
    ok = whole["status"] == "ok"
    assert whole["response"][ok].tolist() == [text for text in said if text is not None]
    assert whole["response"][~ok].isna().all()
    thoughts = whole["reasoning"].dropna().tolist()
    assert thoughts == [text for text in said if text and text.strip()]
    for name in (next(path.glob("*_long.csv")), path / "trials.csv"):
        (tmp_path / name.name).write_bytes(name.read_bytes())
    (tmp_path / "wide").mkdir()
    wide = next(path.glob("*_raw_responses_????????.csv"))
    (tmp_path / "wide" / wide.name).write_bytes(wide.read_bytes())
    columns = ["response", "reasoning", "finish_reason", "status", "seed", "replicate"]
    for alone in (next(tmp_path.glob("*_long.csv")), tmp_path / "wide" / wide.name):
        pd.testing.assert_frame_equal(read(alone)[columns], whole[columns])


def test_returns_within_answers_are_kept(tmp_path: Path) -> None:
    """Parquet has them as they are, and so has what pandas makes of the quoted CSV."""
    said = asked(tmp_path, UNUSUAL)
    for command in commands(tmp_path, "Python"):
        frame = eval(command.replace('("', f'("{tmp_path}/'), {"pd": pd})
        if "response" in frame:
            kept = frame["response"][frame["status"] == "ok"].tolist()
            assert kept == [text for text in said if text is not None]


def test_a_scored_run_has_a_note_of_its_own_tables(tmp_path: Path) -> None:
    """Its options are text, its numbers numbers, also where a question failed."""
    engine = DeterministicEngine(fault=_fails)

    async def work() -> None:
        listed = own_list("study1")
        found = studies.experiment("study1-exp2")
        await run(RunFolder.create(tmp_path, found, listed, await engine.describe(), sample=4), engine)

    asyncio.run(work())
    tables.export(RunFolder.open(tmp_path))
    given = commands(tmp_path, "Python")
    assert len(given) == 3
    for command in given:
        frame = eval(command.replace('("', f'("{tmp_path}/', 1), {"pd": pd})
        numbers = frame.filter(regex="^(prob_norm|state0_mean)$")
        assert (numbers.dtypes == "float64").all() and numbers.isna().any(axis=None)
        if "option" in frame:
            assert {"0", "10", "yes"} <= set(frame["option"])


def _fails(text: str) -> None:
    if "Exactly 0 of the 3" in text or "None of the 3" in text:
        raise ItemError("nan", "the model overflowed")


def test_r_reads_every_answer_as_it_is(
    rscript: str, odd: tuple[Path, list[str | None]], tmp_path: Path
) -> None:
    """By the note's own commands, in R without packages."""
    path, said = odd
    given = commands(path, "R")
    assert len(given) == 5
    script = tmp_path / "read.R"
    lines = []
    for number, command in enumerate(given):
        if "arrow::" in command:
            continue
        lines += [
            f"frame <- {command}",
            'if ("response" %in% names(frame)) {',
            "  stopifnot(is.character(frame$response))",
            '  told <- frame$response[frame$status == "ok"]',
            '  told[is.na(told)] <- ""',
            '  stopifnot(all(is.na(frame$response[frame$status != "ok"])))',
            '  bytes <- sapply(told, function(t) paste(as.character(charToRaw(enc2utf8(t))), collapse = ""))',
            f'  writeLines(bytes, "{tmp_path}/{number}.txt")',
            "}",
        ]
    script.write_text("\n".join(lines))
    done = subprocess.run(
        [rscript, "--vanilla", str(script)], cwd=path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    written = sorted(tmp_path.glob("*.txt"))
    assert len(written) == 3
    wanted = [text for text in said if text is not None]
    for file in written:
        assert [bytes.fromhex(line).decode() for line in file.read_text().split("\n")[:-1]] == wanted
