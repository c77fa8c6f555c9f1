"""What several ways of asking cost, in tokens that the model computes, compared with one way.

Three runs of an experiment on the same engine, each of other trials of grace's own list, as many in each:

one way
    As the study file declares it.
several ways
    The ways of a design (`--ways`), as `grace run` asks them: questions with equal beginnings follow each
    other, so that the engine computes a shared beginning once.
in the order of the list
    The same design, but all trials in the first way, then all in the second, and so on.

The embedded engine counts the tokens that go through the model; a vLLM server counts the prompt tokens that
were not in its prefix cache, and the generated ones. The floor counts what no engine can leave out: of the
prompts in alphabetical order, the tokens that differ from the prompt before, and the inner nodes of each
question's forms. Tokens do not depend on how busy the machine is.

A small list stays whole in the cache of a server. With `--trials` it becomes so long that it does not.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers import Server
from benchmarks.scoring import shared
from grace_client import studies
from grace_client.core.trials import TrialList
from grace_client.engines.base import Engine
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.run import runner
from grace_client.run.folder import RunFolder
from grace_client.studies import lists
from grace_client.studies.declaration import Experiment


@dataclass
class Cost:
    """What a run cost.

    Attributes
    ----------
    name : str
        Which of the three runs.
    ways, questions, tokens, floor : int
        Ways of asking, distinct questions, tokens that the model computed, and the fewest possible.
    """

    name: str
    ways: int
    questions: int
    tokens: int
    floor: int


def draws(experiment: Experiment, count: int, folder: Path, seed: int) -> list[TrialList]:
    """Three lists of `count` trials that have no trial in common."""
    whole = lists.default(experiment.study)
    head, *rows = csv.reader(io.StringIO(whole.raw.decode()))
    chosen = random.Random(seed).sample(rows, 3 * count)
    found = []
    for place in range(3):
        path = folder / f"{place}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([head, *chosen[place::3]])
        found.append(studies.read_trials(path, experiment.study))
    return found


async def measure(
    engine: Engine, tokens: Callable[[], int], experiment: Experiment, design: str, draw: Sequence[TrialList]
) -> list[Cost]:
    """The cost of the three runs."""
    several = experiment.design(design)
    costs = []
    for name, trials, ways in zip(
        ("one way", "several ways", "several ways, in the order of the list"),
        draw,
        ((), several, several),
        strict=True,
    ):
        with tempfile.TemporaryDirectory() as scratch:
            folder = RunFolder.create(Path(scratch), experiment, trials, await engine.describe(), ways=ways)
            if name.endswith("list"):
                # The first item of every key, in the order of the tables.
                listed = tuple({item.key: item for item in reversed(folder.plan.items)}.values())[::-1]
                folder.plan.__dict__["distinct"] = listed
            before = tokens()
            await runner.run(folder, engine)
            asked = [folder.ledger.get(item.key) or {} for item in folder.plan.distinct]
            computed = tokens() - before
            costs.append(Cost(name, max(1, len(ways)), len(asked), computed, fewest(asked)))
    return costs


def fewest(answers: Sequence[Mapping[str, Any]]) -> int:
    """Tokens of the questions if each shared beginning is computed once."""
    prompts = sorted(answer["prompt_ids"] for answer in answers)
    total = sum(len(prompt) for prompt in prompts)
    total -= sum(shared(one, other) for one, other in pairwise(prompts))
    for answer in answers:
        paths = [ids for _, _, ids, _ in answer["forms"]]
        total += len({tuple(ids[:end]) for ids in paths for end in range(1, len(ids))})
    return total


async def work(arguments: argparse.Namespace) -> list[Cost]:
    """Measure on the engine that the arguments name."""
    experiment = studies.experiment(arguments.experiment)
    with tempfile.TemporaryDirectory() as scratch:
        draw = draws(experiment, arguments.trials, Path(scratch), arguments.seed)
        if arguments.server:
            server = Server(arguments.server)
            remote = await VllmEngine.connect(arguments.server)
            try:
                return await measure(remote, server.tokens, experiment, arguments.ways, draw)
            finally:
                await remote.close()
        engine = LocalEngine.load()
        return await measure(engine, lambda: engine.tree.tokens_computed, experiment, arguments.ways, draw)


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--experiment", default="study2-exp2", help="default: %(default)s")
    parser.add_argument("--ways", default="random-19", help="the design; default: %(default)s")
    parser.add_argument("--trials", type=int, default=3, help="trials of each run; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of the trials")
    parser.add_argument("--server", help="URL of a vLLM server; default: the embedded engine")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    costs = asyncio.run(work(arguments))
    if arguments.json:
        print(json.dumps([asdict(cost) for cost in costs]))
        return
    table = Table("", "ways", "questions", "tokens computed", "times one way", "times the floor")
    for cost in costs:
        ratios = (cost.tokens / costs[0].tokens, cost.tokens / cost.floor)
        shown = (f"{cost.ways}", f"{cost.questions}", f"{cost.tokens:,}", *(f"{one:.2f}" for one in ratios))
        table.add_row(cost.name, *shown)
    Console().print(table)


if __name__ == "__main__":
    main()
