"""How many Study 1 questions per second grace's client can handle, without the time of the model.

A null server, in its own process on another core, answers every request at once with a stored answer. The
clients use it one after another, each in its own process that is bound to one core:

grace
    A run over new questions: tokenise and score every question, write the ledger.
grace, whole run
    The same with the requests that follow, one for each question: what the model would say instead.
openai, httpx
    The same two requests per question through the `openai` client and through plain `httpx`, 64 in flight,
    the answers parsed. Nothing else: no scoring, no checks, no ledger.

The main result is questions per second of the client's own processor time, because other programs on the core
do not change it. The table also has wall-clock time.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from grace_client import studies
from grace_client.core.options import OptionSet, TokenTrie
from grace_client.core.progress import Progress
from grace_client.core.trials import Trial
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.engines.vllm.wire_format import named_batches
from grace_client.run.folder import RunFolder
from grace_client.run.runner import run
from grace_client.studies import lists
from tests.support.fake_vllm import FakeVllm, RefusedError

ROOT = Path(__file__).parents[1]
EXPERIMENT = studies.experiment("study1-exp2")
WHOLE = "grace, whole run"
CLIENTS = ("grace", WHOLE, "openai", "httpx")
IN_FLIGHT = 64
TARGET = 700
PROMPT = 180
"""Tokens of a Study 1 prompt."""


class Null(asyncio.Protocol):
    """Answers every request with the answer of a fake vLLM to the first request of the same kind.

    Two requests are of the same kind if they differ only in the ids of their prompts.
    """

    answers: ClassVar[dict[bytes, bytes]] = {}
    vllm = FakeVllm(seed=0, model="null")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            length = int(found[1]) if (found := re.search(rb"content-length: (\d+)", head)) else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            path = head.split(b" ", 2)[1].decode()
            self.transport.write(self.answer(path, body))

    def answer(self, path: str, body: bytes) -> bytes:
        """The whole HTTP answer."""
        if path == "/tokenize" and b"Imagine" in body:
            kind = b"prompt"
        elif b'"logprob_token_ids":' in body:
            kind = str(body.count(b"[")).encode() + body[body.rindex(b'"logprob_token_ids"') :]
        else:
            kind = path.encode() + body
        if kind not in self.answers:
            status = b"200 OK"
            try:
                content = self.make(path, json.loads(body or b"{}"), kind)
            except RefusedError as refused:
                status, content = str(refused.status).encode(), refused.body
            text = json.dumps(content, separators=(",", ":")).encode()
            head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self.answers[kind] = head % (status, len(text)) + text
        return self.answers[kind]

    def make(self, path: str, body: Any, kind: bytes) -> Any:
        """The answer of the fake vLLM."""
        if kind == b"prompt":
            return {"count": PROMPT, "max_model_len": 4096, "tokens": [0, *range(5, PROMPT + 4)]}
        routes: dict[str, Callable[[Any], Any]] = {
            "/v1/models": lambda _: self.vllm.models(),
            "/tokenize": self.vllm.tokenize,
            "/detokenize": self.vllm.detokenize,
            "/v1/completions": self.vllm.completion,
        }
        return routes[path](body) if path in routes else {}


async def serve() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Null, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def bind(core: int) -> None:
    """Bind this process to one core, if the system supports it."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})


async def by_grace(url: str, questions: int, *, whole: bool = False) -> tuple[float, float]:
    """A run of Study 1 Experiment 2 over new questions; wall-clock and processor seconds."""
    last = [0.0, 0.0]

    def scored(_: Progress) -> None:
        last[:] = time.perf_counter(), time.process_time()

    engine = await VllmEngine.connect(url, max_in_flight=IN_FLIGHT)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            base = lists.default(studies.named("study1"))
            first: dict[Any, Trial] = {}
            for trial in base.trials:
                first.setdefault(EXPERIMENT.questions(trial), trial)
            path = Path(scratch) / "trials.csv"
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(base.schema.names)
                # Every copy of the stimuli has its own stories, so that all questions differ.
                for copy in range(-(-questions // (5 * len(first)))):
                    for trial in first.values():
                        story = trial.fields["story_setup"].replace("<br>", f"<br> ({copy})")
                        writer.writerow({**trial.fields, "story_setup": story}.values())
            trials = studies.read_trials(path)
            folder = RunFolder.create(Path(scratch) / "run", EXPERIMENT, trials, await engine.describe())
            wall, used = time.perf_counter(), time.process_time()
            progress = await run(folder, engine, on_progress=scored)
            assert progress.failed == 0 and progress.done >= questions
            if whole:
                scored(progress)
            return (last[0] - wall) / progress.done, (last[1] - used) / progress.done
    finally:
        await engine.close()


async def bodies(url: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The two requests of each question of one trial, as grace sends them."""
    engine = await VllmEngine.connect(url)
    found, tries = [], dict[OptionSet, TokenTrie]()
    for question in EXPERIMENT.questions(lists.default(studies.named("study1")).trials[0]):
        options = question.options
        assert options is not None
        if options not in tries:
            ids = [
                [await engine.tokenize_form(form, [0]) for form in option.forms] for option in options.options
            ]
            tries[options] = TokenTrie.build(options, ids)
        (batch,) = named_batches(tries[options])
        score = batch.body('"null"', [0, *range(5, PROMPT + 4)])
        tokenise = {
            "model": "null",
            "messages": question.prompt.messages,
            "add_generation_prompt": True,
        }
        found.append((tokenise, json.loads(score)))
    await engine.close()
    return found


async def many(ask: Callable[[int], Awaitable[None]], questions: int) -> tuple[float, float]:
    """Ask `questions` questions, `IN_FLIGHT` at a time; wall-clock and processor seconds per question."""
    waiting = iter(range(questions))

    async def work() -> None:
        for number in waiting:
            await ask(number)

    await ask(0)
    wall, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return (time.perf_counter() - wall) / questions, (time.process_time() - used) / questions


async def by_openai(url: str, questions: int) -> tuple[float, float]:
    """The same requests through the openai client."""
    from openai import AsyncOpenAI

    asked = await bodies(url)
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="-") as client:

        async def ask(number: int) -> None:
            tokenise, score = asked[number % len(asked)]
            await client.post(f"{url}/tokenize", cast_to=object, body=tokenise)
            named = {"logprob_token_ids": score["logprob_token_ids"], "return_tokens_as_token_ids": True}
            await client.completions.create(
                model="null",
                prompt=score["prompt"],
                max_tokens=1,
                temperature=0,
                logprobs=0,
                extra_body=named,
            )

        return await many(ask, questions)


async def by_httpx(url: str, questions: int) -> tuple[float, float]:
    """The same requests through httpx."""
    import httpx

    asked = await bodies(url)
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=IN_FLIGHT), timeout=60) as client:

        async def ask(number: int) -> None:
            tokenise, score = asked[number % len(asked)]
            (await client.post(f"{url}/tokenize", json=tokenise)).json()
            (await client.post(f"{url}/v1/completions", json=score)).json()

        return await many(ask, questions)


@contextmanager
def null_server() -> Iterator[str]:
    """The null server, on the first core."""
    command = [sys.executable, "-m", "benchmarks.client", "--role", "server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--questions", type=int, default=5000, metavar="N", help="questions for grace; default: %(default)s"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        metavar="N",
        help="rounds; the table shows the best; default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--role", choices=["server", *CLIENTS], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "server":
        bind(0)
        asyncio.run(serve())
        return
    if options.role:
        bind(1)
        ways: dict[str, Callable[[str, int], Coroutine[Any, Any, tuple[float, float]]]] = {
            "grace": by_grace,
            WHOLE: partial(by_grace, whole=True),
            "openai": by_openai,
            "httpx": by_httpx,
        }
        print(json.dumps(asyncio.run(ways[options.role](options.url, options.questions))))
        return

    found: dict[str, list[list[float]]] = {name: [] for name in CLIENTS}
    with null_server() as url:
        for _ in range(options.rounds):
            for name in CLIENTS:
                # The other clients need fewer questions for a stable result, because each takes longer.
                count = options.questions if name in ("grace", WHOLE) else max(200, options.questions // 10)
                command = [sys.executable, "-m", "benchmarks.client", "--role", name, "--url", url]
                command += ["--questions", str(count)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
                found[name].append(json.loads(done.stdout))
    if options.json:
        print(json.dumps(found))
    else:
        show(found, Console())


def show(found: dict[str, list[list[float]]], console: Console) -> None:
    """Print the result for people; `found` holds wall-clock and processor seconds per question and round."""
    table = Table(
        "",
        *("questions per processor second", "lowest", "questions per second", "times grace's processor time"),
        title=f"Study 1 questions through the client alone, {IN_FLIGHT} in flight, best of "
        f"{len(found['grace'])} rounds",
        title_justify="left",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    best = {name: min(used for _, used in rounds) for name, rounds in found.items()}
    for name, rounds in found.items():
        table.add_row(
            name,
            f"{1 / best[name]:.0f}",
            f"{1 / max(used for _, used in rounds):.0f}",
            f"{1 / min(wall for wall, _ in rounds):.0f}",
            f"{best[name] / best['grace']:.1f}",
        )
    console.print(table)
    console.print(f"grace: target ≥ {TARGET} questions per second on one core", highlight=False)


if __name__ == "__main__":
    main()
