"""The cost of exact option probabilities through one vLLM server, for grace and for other tools.

All ways ask the same live server the same questions, one way after another. grace is first, so the prefix
cache has none of its prompts. Each round has other questions, so that a change of the machine's speed affects
all ways:

grace
    A run as `grace run` makes it, all surface forms of every option; ledger and tables included.
lm-evaluation-harness
    Its `local-completions` model with the settings that its documentation gives for such a server (token ids,
    one request per option, 32 at a time), asked through its own `loglikelihood`. One form per option. Its
    environment is created on first use, in the cache. Start-up and imports are not timed.
first token
    One request per question for the 20 likeliest first tokens; an option gets the probability of the first
    token of its form. This does not compute the same probabilities: the benchmark shows
    its errors. It finds the prompts in the prefix cache.
transformers
    One float32 forward pass per option in this process, no server. One form per option. It is the
    reference (teacher forcing). For every fourth question it also runs the other forms, which are not timed.

Errors are differences of a form's log-probability from the reference, in nats. Tokens computed are the
server's own count of prompt tokens that it did not find in its prefix cache, and of tokens that it generated.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM

from grace_client import studies
from grace_client.core import paths
from grace_client.core.trials import TrialList
from grace_client.engines.local import default_model
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.run import runner, tables
from grace_client.run.folder import RunFolder
from grace_client.run.plan import Item
from grace_client.studies import lists
from grace_client.studies.declaration import Experiment

ROOT = Path(__file__).parents[1]
HARNESS = ("lm_eval[api]==0.4.13", "transformers==5.19.0")
CONCURRENT = 32
FURTHER = 4
"""In one of this many questions, the further forms of an option have a reference too."""
TOP = 20
TARGET_RATIO = {"study1": 4.0, "study2": 5.0}
TARGET_LIST_RATIO, TARGET_TOKENS = 30.0, 1 / 3

HARNESS_PROGRAM = """
import json, os, sys, time

out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
given = json.load(sys.stdin)
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

lm = get_model("local-completions")(
    base_url=given["url"] + "/v1/completions", model=given["model"], tokenizer=given["tokenizer"],
    tokenizer_backend="huggingface", tokenized_requests=True, max_retries=3,
    num_concurrent=given["concurrent"],
)
pairs = [
    Instance(request_type="loglikelihood", doc={}, arguments=tuple(pair), idx=i)
    for i, pair in enumerate(given["pairs"])
]
began = time.perf_counter()
found = lm.loglikelihood(pairs)
json.dump({"seconds": time.perf_counter() - began, "logprobs": [value for value, _ in found]}, out)
"""


@dataclass
class Way:
    """Time, requests, tokens and errors of one way.

    Attributes
    ----------
    seconds : float
        Wall-clock time.
    requests : int
        HTTP requests for completions; forward passes for transformers.
    tokens : int
        Tokens computed.
    errors : list of float
        Absolute errors of the log-probabilities, in nats.
    missing : int
        Forms without a value.
    """

    seconds: float
    requests: int
    tokens: int
    errors: list[float]
    missing: int = 0

    def __add__(self, other: Way) -> Way:
        """The sum of two results."""
        return Way(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class AskedQuestion:
    """One question as grace asked it: prompt ids, and per form its option, text, ids and log-probability."""

    prompt: list[int]
    text: str
    forms: list[tuple[str, str, list[int], float]]

    @property
    def first_forms(self) -> list[int]:
        """Index of the first form of every option."""
        first: dict[str, int] = {}
        for index, (option, *_) in enumerate(self.forms):
            first.setdefault(option, index)
        return list(first.values())


class Server:
    """The live server, with the number of tokens that it has computed."""

    def __init__(self, url: str) -> None:
        self.url = url

    def tokens(self) -> int:
        """Prompt tokens that were not in the prefix cache, and generated ones."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        computed = r'prompt_tokens_by_source_total\{.*source="local_compute".*\}'
        pattern = rf"^vllm:(?:{computed}|generation_tokens_total\{{.*\}}) (\S+)$"
        return int(sum(float(value) for value in re.findall(pattern, text, flags=re.MULTILINE)))

    def model(self) -> str:
        """Name of the model on the server."""
        with urllib.request.urlopen(f"{self.url}/v1/models", timeout=30) as answer:
            return str(json.load(answer)["data"][0]["id"])


@contextmanager
def serving(url: str | None) -> Iterator[Server]:
    """The server at a URL, or one that is started for the benchmark."""
    if url:
        yield Server(url)
        return
    script = str(ROOT / "scripts" / "vllm-cpu")
    environment = {**os.environ, "GRACE_PYTHON": sys.executable}
    started = subprocess.run(
        [script, "start"], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield Server(started.stdout.split()[-1])
    finally:
        subprocess.run([script, "stop"], check=False, env=environment)


def by_grace(server: Server, experiment: Experiment, trials: TrialList) -> tuple[Way, list[AskedQuestion]]:
    """A run in a temporary folder."""
    posts = 0

    async def work(path: Path) -> float:
        nonlocal posts
        engine = await VllmEngine.connect(server.url)
        post = engine.client.post

        async def counted(route: str, *rest: Any, **named: Any) -> Any:
            nonlocal posts
            posts += route == "/v1/completions"
            return await post(route, *rest, **named)

        engine.client.post = counted  # type: ignore[assignment,method-assign]
        try:
            began = time.perf_counter()
            folder = RunFolder.create(path, experiment, trials, await engine.describe())
            await runner.run(folder, engine)
            tables.export(RunFolder.open(path))
            return time.perf_counter() - began
        finally:
            await engine.close()

    with tempfile.TemporaryDirectory() as scratch:
        before = server.tokens()
        # The start-up check costs a few hundred tokens: they count, its time does not.
        seconds = asyncio.run(work(Path(scratch)))
        tokens = server.tokens() - before
        folder = RunFolder.open(Path(scratch))
        asked = [_asked(folder, item) for item in folder.plan.distinct]
    return Way(seconds, posts, tokens, []), asked


def _asked(folder: RunFolder, item: Item) -> AskedQuestion:
    answer = folder.ledger.get(item.key)
    assert answer is not None
    forms = [
        (option, text, ids, -math.inf if value is None else value)
        for option, text, ids, value in answer["forms"]
    ]
    return AskedQuestion(answer["prompt_ids"], answer["prompt"], forms)


def by_harness(server: Server, asked: list[AskedQuestion], tokenizer: Path) -> tuple[Way, list[float]]:
    """lm-evaluation-harness in its own environment."""
    home = paths.cache() / "peers" / "lm-eval"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        print(f"installing {HARNESS[0]} into {home} (several minutes)", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"torch=={torch.__version__.partition('+')[0]}", *HARNESS], check=True)
        (home / "complete").touch()
    pairs = [[one.text, one.forms[index][1]] for one in asked for index in one.first_forms]
    given = {
        "url": server.url,
        "model": server.model(),
        "tokenizer": str(tokenizer),
        "concurrent": CONCURRENT,
        "pairs": pairs,
    }
    before = server.tokens()
    done = subprocess.run(
        [str(python), "-c", HARNESS_PROGRAM],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    if done.returncode:
        sys.exit(f"the harness failed:\n{done.stderr[-3000:]}")
    found = json.loads(done.stdout)
    return Way(found["seconds"], len(pairs), server.tokens() - before, []), found["logprobs"]


def by_first_token(server: Server, asked: list[AskedQuestion]) -> tuple[Way, list[float | None]]:
    """The likeliest first tokens, `CONCURRENT` questions at a time."""
    model = server.model()

    async def work() -> list[dict[str, float]]:
        turn = asyncio.Semaphore(CONCURRENT)

        async def ask(session: aiohttp.ClientSession, one: AskedQuestion) -> dict[str, float]:
            body = {
                "model": model,
                "prompt": one.prompt,
                "max_tokens": 1,
                "temperature": 0,
                "logprobs": TOP,
                "return_tokens_as_token_ids": True,
            }
            async with turn, session.post(f"{server.url}/v1/completions", json=body) as answer:
                choice = (await answer.json())["choices"][0]
                return dict(choice["logprobs"]["top_logprobs"][0])

        async with aiohttp.ClientSession() as session:
            return await asyncio.gather(*(ask(session, one) for one in asked))

    before, began = server.tokens(), time.perf_counter()
    tops = asyncio.run(work())
    seconds = time.perf_counter() - began
    values = [
        top.get(f"token_id:{one.forms[index][2][0]}")
        for one, top in zip(asked, tops, strict=True)
        for index in one.first_forms
    ]
    return Way(seconds, len(asked), server.tokens() - before, []), values


def by_transformers(model: Any, asked: list[AskedQuestion]) -> tuple[Way, list[list[float]]]:
    """One pass per form, NaN for those left out; only those of the first forms are timed."""
    way, values = Way(0.0, 0, 0, []), []
    with torch.inference_mode():
        model(torch.tensor([asked[0].prompt]))
        for number, one in enumerate(asked):
            first, row = set(one.first_forms), []
            for index, (_, _, ids, _) in enumerate(one.forms):
                if index not in first and number % FURTHER:
                    row.append(math.nan)
                    continue
                began = time.perf_counter()
                whole = torch.tensor([one.prompt + ids])
                logits = model(whole, use_cache=False).logits[0, -len(ids) - 1 : -1]
                chosen = torch.log_softmax(logits.double(), dim=-1).gather(-1, whole[0, -len(ids) :, None])
                row.append(float(chosen.sum()))
                if index in first:
                    way.seconds += time.perf_counter() - began
                    way.requests += 1
                    way.tokens += whole.shape[1]
            values.append(row)
    return way, values


def compare(
    server: Server, experiment: Experiment, trials: TrialList, folder: Path, model: Any
) -> dict[str, Way]:
    """All ways on the questions of some trials."""
    say = partial(print, file=sys.stderr, flush=True)
    say(f"{experiment.name}: grace")
    grace, asked = by_grace(server, experiment, trials)
    say(f"{experiment.name}: lm-evaluation-harness")
    harness, by_them = by_harness(server, asked, folder)
    say(f"{experiment.name}: first token")
    first, guessed = by_first_token(server, asked)
    say(f"{experiment.name}: transformers")
    passes, reference = by_transformers(model, asked)
    for one, row in zip(asked, reference, strict=True):
        grace.errors += [
            abs(value - true)
            for (_, _, _, value), true in zip(one.forms, row, strict=True)
            if not math.isnan(true)
        ]
    true = [row[index] for one, row in zip(asked, reference, strict=True) for index in one.first_forms]
    harness.errors = [abs(a - b) for a, b in zip(by_them, true, strict=True)]
    first.errors = [abs(a - b) for a, b in zip(guessed, true, strict=True) if a is not None]
    first.missing = sum(value is None for value in guessed)
    return {"grace": grace, "harness": harness, "first token": first, "transformers": passes}


def drawn(
    trials: TrialList, experiment: Experiment, count: int, rounds: int, scratch: Path
) -> list[TrialList]:
    """Lists of trials with different questions, one for each round, `count` trials in all."""
    first: dict[Any, Any] = {}
    for trial in trials.trials:
        first.setdefault(experiment.questions(trial), trial)
    some = random.Random(0).sample(list(first.values()), min(count, len(first)))
    lists = []
    for number in range(rounds):
        path = scratch / f"{trials.schema.study}-{number}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(trials.schema.names)
            writer.writerows(trial.fields.values() for trial in some[number::rounds])
        lists.append(studies.read_trials(path))
    return lists


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmark."""
    folder = default_model.ensure(partial(print, file=sys.stderr))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    result: dict[str, Any] = {"threads": torch.get_num_threads()}
    with serving(options.server) as server, tempfile.TemporaryDirectory() as scratch:
        result["model"] = server.model()
        for study, count in (("study1", options.trials), ("study2", options.questions)):
            experiment = studies.experiment(f"{study}-exp2")
            given = getattr(options, study)
            listed = studies.read_trials(given) if given else lists.default(studies.named(study))
            some_lists = drawn(listed, experiment, count, options.rounds, Path(scratch))
            rounds = [compare(server, experiment, some, folder, model) for some in some_lists]
            ways = {name: sum((ways[name] for ways in rounds[1:]), way) for name, way in rounds[0].items()}
            questions = [question for trial in listed.trials for question in experiment.questions(trial)]
            result[study] = {
                "trials": sum(len(some.trials) for some in some_lists),
                "questions": ways["first token"].requests,
                "list": {
                    "questions": len(questions),
                    "distinct": len(set(questions)),
                    "trials": len(listed.trials),
                },
                "ways": {name: asdict(way) for name, way in ways.items()},
                "ratio_of_rounds": [ways["harness"].seconds / ways["grace"].seconds for ways in rounds],
            }
            if study == "study1" and options.whole_list:
                print("study1-exp2: the whole list by grace", file=sys.stderr)
                result[study]["list"]["grace_seconds"] = by_grace(server, experiment, listed)[0].seconds
    return result


def show(result: dict[str, Any], console: Console) -> None:
    """Print the result for people."""
    for study in ("study1", "study2"):
        found = result[study]
        ways, trials = found["ways"], found["trials"]
        table = Table(
            "",
            *("seconds", "requests", "tokens computed", "times as long", "times the tokens"),
            *("largest error, nats", "mean error, nats", "no value"),
            title=f"{study}, {result['model']}, {trials} distinct trials, {found['questions']} questions; "
            "per trial",
            title_justify="left",
        )
        for column in table.columns[1:]:
            column.justify = "right"
        mine = ways["grace"]
        for name, way in ways.items():
            errors = way["errors"]
            table.add_row(
                {"harness": "lm-evaluation-harness", "transformers": "transformers, no server"}.get(
                    name, name
                ),
                f"{way['seconds'] / trials:.2f}",
                f"{way['requests'] / trials:.1f}",
                f"{way['tokens'] / trials:.0f}",
                f"{way['seconds'] / mine['seconds']:.1f}",
                f"{way['tokens'] / mine['tokens']:.1f}",
                f"{max(errors):.1e}" if errors else "reference",
                f"{sum(errors) / len(errors):.1e}" if errors else "reference",
                str(way["missing"]),
            )
        console.print(table)
        harness, whole = ways["harness"], found["list"]
        ratios = found["ratio_of_rounds"]
        console.print(
            f"The harness takes {harness['seconds'] / mine['seconds']:.1f} times as long as grace, in single "
            f"rounds {min(ratios):.1f} to {max(ratios):.1f} "
            f"(target ≥ {TARGET_RATIO[study]:.0f}); grace computes {mine['tokens'] / harness['tokens']:.2f} "
            f"of its tokens (target ≤ {TARGET_TOKENS:.2f})",
            highlight=False,
        )
        if "grace_seconds" in whole:
            seconds = whole["grace_seconds"]
            theirs = harness["seconds"] / found["questions"] * whole["questions"]
            console.print(
                f"All {whole['trials']} trials: grace {seconds:.0f} s, measured, for {whole['distinct']} "
                f"distinct questions; the harness {theirs:.0f} s, computed from its seconds per question, "
                f"for {whole['questions']}: {theirs / seconds:.0f} times as long (target ≥ "
                f"{TARGET_LIST_RATIO:.0f})",
                highlight=False,
            )


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--server", metavar="URL", help="serves the embedded model; default: start one")
    parser.add_argument("--study1", metavar="FILE", help="trial list; default: grace's own")
    parser.add_argument("--study2", metavar="FILE", help="trial list; default: grace's own")
    parser.add_argument("--trials", type=int, default=4, metavar="N", help="of Study 1; default: %(default)s")
    parser.add_argument(
        "--questions", type=int, default=24, metavar="N", help="of Study 2; default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="default: %(default)s")
    parser.add_argument("--whole-list", action="store_true", help="also time grace on the whole Study 1 list")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options)
    if options.json:
        print(json.dumps(result))
    else:
        show(result, Console())


if __name__ == "__main__":
    main()
