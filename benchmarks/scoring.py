"""How much faster the embedded engine scores Study 1 Experiment 2 than one forward pass per answer.

Two ways compute the same log-probabilities of every option, summed over its surface forms. They use the same
loaded model in the same process:

grace
    `LocalEngine` as a run uses it: tokenise the prompt, `edge_logprobs`, `score`.
passes
    As in a short script with transformers: for every surface form, run the model on prompt and form, take
    `log_softmax`, and sum the values of the form's tokens. Two things make this way faster than it would be
    in a script: the prompt is tokenised once for all forms, and `log_softmax` is computed only at the
    form's tokens. With `--lean` the output layer is computed only there too.

The passes of the first form of every option are also counted separately ("one form"), because a script
without surface forms would run only these.

Questions are asked in the order of a run, each by grace and directly after that by the passes, so that a
change of the machine's speed affects both. Times are wall-clock seconds, tokenising included, after one
warm-up question. Times for the whole list are computed, not measured: mean seconds per question times the
number of questions, all of them for the passes and the distinct ones for grace.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from grace_client import studies
from grace_client.core.options import OptionSet, TokenTrie
from grace_client.core.questions import Question
from grace_client.core.scoring import score
from grace_client.core.trials import Trial
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.local.tree import last_logits
from grace_client.studies import lists
from grace_client.studies.declaration import Experiment

WAYS = ("grace", "passes", "one_form")
TARGET_RATIO, TARGET_LIST_RATIO, TARGET_TOKENS, TARGET_NATS = 12, 90, 1.1, 1e-4


@dataclass
class Totals:
    """Sums over the questions; `difference` is the largest difference between the two ways, in nats.

    `floor` counts prompt tokens and trie nodes of every question. `minimum` counts the shared beginning of a
    trial's prompts only once, and no leaves, which need no pass.
    """

    questions: int = 0
    grace_seconds: float = 0.0
    passes_seconds: float = 0.0
    one_form_seconds: float = 0.0
    passes: int = 0
    one_form_passes: int = 0
    grace_tokens: int = 0
    passes_tokens: int = 0
    one_form_tokens: int = 0
    floor: int = 0
    minimum: int = 0
    difference: float = 0.0


class Bench:
    """Asks questions in both ways, and sums their times and tokens."""

    def __init__(self, engine: LocalEngine, *, lean: bool) -> None:
        self.engine = engine
        self.lean = lean
        self.totals = Totals()
        self._tries: dict[OptionSet, TokenTrie] = {}

    async def trial(self, questions: Sequence[Question]) -> None:
        """Ask all questions of one trial."""
        prompts = sorted([await self.ask(question) for question in questions])
        self.totals.minimum += len(prompts[0])
        self.totals.minimum += sum(len(other) - shared(one, other) for one, other in pairwise(prompts))

    async def ask(self, question: Question) -> list[int]:
        """Ask one question in both ways; returns the prompt's token ids."""
        engine, totals = self.engine, self.totals
        assert question.options is not None
        trie = await self._trie(question.options, await engine.tokenize(question.prompt))

        before, start = engine.tree.tokens_computed, time.perf_counter()
        prompt = await engine.tokenize(question.prompt)
        logprob = score(trie, (await engine.edge_logprobs(prompt, trie)).edges).logprob
        totals.grace_seconds += time.perf_counter() - start
        totals.grace_tokens += engine.tree.tokens_computed - before

        start = time.perf_counter()
        prompt = await engine.tokenize(question.prompt)
        tokenising = time.perf_counter() - start
        totals.passes_seconds += tokenising
        totals.one_form_seconds += tokenising
        peer = np.full(trie.n_options, -np.inf)
        for option, leaf in zip(trie.option.tolist(), trie.leaf.tolist(), strict=True):
            form = trie.path(leaf)
            start = time.perf_counter()
            value = self._own_pass(prompt, form)
            seconds = time.perf_counter() - start
            totals.passes_seconds += seconds
            totals.passes_tokens += len(prompt) + len(form)
            totals.passes += 1
            if np.isneginf(peer[option]):
                totals.one_form_seconds += seconds
                totals.one_form_passes += 1
                totals.one_form_tokens += len(prompt) + len(form)
            peer[option] = np.logaddexp(peer[option], value)

        totals.questions += 1
        totals.floor += len(prompt) + trie.n_edges
        totals.minimum += len(trie.inner) - 1
        totals.difference = max(totals.difference, float(np.abs(logprob - peer).max()))
        return prompt

    @torch.inference_mode()
    def _own_pass(self, prompt: list[int], form: list[int]) -> float:
        model, count = self.engine.model, len(form)
        ids = torch.tensor([prompt + form], device=model.device)
        kept = last_logits(model, count + 1) if self.lean else {}
        logits = model(input_ids=ids, use_cache=False, **kept).logits[0, -count - 1 : -1]
        logprobs = torch.log_softmax(logits.double(), dim=-1)
        return float(logprobs.gather(-1, ids[0, -count:, None]).sum())

    async def _trie(self, options: OptionSet, prompt: list[int]) -> TokenTrie:
        if options not in self._tries:
            forms = [option.forms for option in options.options]
            ids = [[await self.engine.tokenize_form(one, prompt) for one in each] for each in forms]
            self._tries[options] = TokenTrie.build(options, ids)
        return self._tries[options]


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the beginning that two sequences share."""
    for length, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return length
    return min(len(one), len(other))


def distinct(experiment: Experiment, trials: Sequence[Trial]) -> tuple[list[Trial], int, int]:
    """The first trial of every stimulus, the number of all questions and of distinct ones."""
    first: dict[tuple[Question, ...], Trial] = {}
    for trial in trials:
        first.setdefault(experiment.questions(trial), trial)
    asked = [question for trial in trials for question in experiment.questions(trial)]
    return list(first.values()), len(asked), len({(q.prompt, q.options) for q in asked})


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmark; returns everything measured and computed."""
    experiment = studies.experiment("study1-exp2")
    listed = studies.read_trials(options.trials) if options.trials else lists.default(studies.named("study1"))
    different, asked, once = distinct(experiment, listed.trials)
    drawn = random.Random(0).sample(different, min(options.trials_sampled, len(different)))
    # In the order of a run.
    sampled = sorted(drawn, key=lambda trial: trial.trial_id)

    engine = LocalEngine.load(options.model, dtype=options.dtype, device=options.device)
    bench, console = Bench(engine, lean=options.lean), Console(stderr=True)
    await bench.ask(experiment.questions(different[0])[0])
    bench.totals = Totals()
    by_trial: list[dict[str, float]] = []
    for number, trial in enumerate(sampled, start=1):
        before = [getattr(bench.totals, f"{way}_seconds") for way in WAYS]
        await bench.trial(experiment.questions(trial))
        took = [
            getattr(bench.totals, f"{way}_seconds") - then for way, then in zip(WAYS, before, strict=True)
        ]
        by_trial.append(dict(zip(WAYS, took, strict=True)))
        console.print(f"{number} of {len(sampled)} trials", highlight=False)
    info = await engine.describe()
    await engine.close()

    totals = bench.totals
    per_question = {way: getattr(totals, f"{way}_seconds") / totals.questions for way in WAYS}
    per_list = {way: seconds * (once if way == "grace" else asked) for way, seconds in per_question.items()}
    return {
        "model": info.model,
        "dtype": info.dtype,
        "method": engine.method,
        "lean": options.lean,
        "threads": torch.get_num_threads(),
        "versions": info.versions,
        "trials": {"listed": len(listed.trials), "distinct": len(different), "sampled": len(sampled)},
        "questions": {"all": asked, "distinct": once},
        "totals": asdict(totals),
        "seconds_per_trial": {w: s * totals.questions / len(sampled) for w, s in per_question.items()},
        "seconds_of_trials": by_trial,
        "ratio": {w: s / per_question["grace"] for w, s in per_question.items()},
        "ratio_lowest": {w: min(trial[w] / trial["grace"] for trial in by_trial) for w in WAYS},
        "ratio_highest": {w: max(trial[w] / trial["grace"] for trial in by_trial) for w in WAYS},
        "list_seconds_computed": per_list,
        "list_ratio_computed": {w: s / per_list["grace"] for w, s in per_list.items()},
        "tokens_over_floor": totals.grace_tokens / totals.floor,
        "tokens_over_minimum": totals.grace_tokens / totals.minimum,
        "difference_nats": totals.difference,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the result for people."""
    trials, questions, totals = result["trials"], result["questions"], result["totals"]
    sampled = trials["sampled"]
    table = Table(
        "",
        *(f"[bold]{name}" for name in ("grace", "passes", "passes, one form", "target")),
        title=f"Study 1 Experiment 2, {result['model']}, {result['dtype']}, {result['threads']} threads, "
        f"{sampled} distinct trials{', lean passes' if result['lean'] else ''}",
        title_justify="left",
    )
    for column in table.columns[1:]:
        column.justify = "right"

    def row(name: str, key: str, form: str, target: str = "") -> None:
        table.add_row(name, *(form.format(result[key][way]) for way in WAYS), target)

    calls = (totals["questions"], totals["passes"], totals["one_form_passes"])
    table.add_row("engine calls per trial", *(f"{count / sampled:.0f}" for count in calls), "")
    tokens = (totals[f"{way}_tokens"] for way in WAYS)
    table.add_row("tokens computed per trial", *(f"{count / sampled:.0f}" for count in tokens), "")
    row("seconds per distinct trial", "seconds_per_trial", "{:.2f}")
    row("times as long as grace", "ratio", "{:.1f}", f"≥ {TARGET_RATIO}")
    row("  lowest of a trial", "ratio_lowest", "{:.1f}")
    row("  highest of a trial", "ratio_highest", "{:.1f}")
    row(f"seconds for all {trials['listed']} trials (computed)", "list_seconds_computed", "{:.0f}")
    row("times as long as grace (computed)", "list_ratio_computed", "{:.0f}", f"≥ {TARGET_LIST_RATIO}")
    console.print(table)
    console.print(
        f"The whole list: {questions['all']} questions for the passes, {questions['distinct']} distinct ones "
        f"for grace.\nTokens of grace over the floor (every prompt and its trie, {totals['floor']}): "
        f"{result['tokens_over_floor']:.3f} (target ≤ {TARGET_TOKENS})\n"
        f"Tokens of grace over the minimum (shared beginnings once, no leaves, {totals['minimum']}): "
        f"{result['tokens_over_minimum']:.3f}\n"
        f"Largest difference of an option's log-probability: {result['difference_nats']:.1e} nats "
        f"(target ≤ {TARGET_NATS:.0e})",
        highlight=False,
    )


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", metavar="FILE", help="Study 1 list; default: grace's own")
    parser.add_argument(
        "--trials-sampled", type=int, default=2, metavar="N", help="trials to measure; default: %(default)s"
    )
    parser.add_argument("--model", help="Hugging Face id or folder; default: the embedded model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device")
    parser.add_argument(
        "--lean", action="store_true", help="let the passes compute the output layer only where it is needed"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    result = asyncio.run(measure(options))
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result, Console(width=None if Console().is_terminal else 110))


if __name__ == "__main__":
    main()
