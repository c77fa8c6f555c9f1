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
were not in its prefix cache, and the generated ones. The engine's cache is small beside the runs of a whole
list: give `--trials` enough of them that a way's prompts do not all stay in the cache. Tokens do not depend on
how busy the machine is.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.peers import Server
from grace_client import studies
from grace_client.core.trials import TrialList
from grace_client.engines.base import Engine
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.run import runner
from grace_client.run.folder import RunFolder
from grace_client.studies import lists
from grace_client.studies.declaration import Experiment

TARGET = 6
"""Most times the tokens of one way, for twenty ways."""


@dataclass
class Cost:
    """What a run cost.

    Attributes
    ----------
    name : str
        Which of the three runs.
    ways, questions, tokens : int
        Ways of asking, distinct questions, and tokens that the model computed.
    """

    name: str
    ways: int
    questions: int
    tokens: int


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
            costs.append(Cost(name, max(1, len(ways)), len(folder.plan.distinct), tokens() - before))
    return costs


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
    table = Table("", "ways", "questions", "tokens computed", "times one way", f"target ≤ {TARGET}")
    for cost in costs:
        ratio = cost.tokens / costs[0].tokens
        target = ("met" if ratio <= TARGET else "missed") if cost.name == "several ways" else ""
        table.add_row(
            cost.name, str(cost.ways), str(cost.questions), f"{cost.tokens:,}", f"{ratio:.2f}", target
        )
    Console().print(table)


if __name__ == "__main__":
    main()
