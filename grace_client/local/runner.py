"""A campaign on one machine: the same sequence, with `grace run` as a child process for each run."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from grace_client.campaign.records import Phase
from grace_client.core.errors import ExitCode
from grace_client.local import supervise
from grace_client.local.model import Model, Run, Vllm, check, embedded, environment, runs, wait_minutes

GRACE_S = 20.0
"""Seconds that a child has to end when it is told to; `grace run` writes the answers in flight."""
PORTS = 5
"""How many ports are tried where another program takes one between its choice and the server's start."""
TAKEN = b"ddress already in use"


@dataclass(frozen=True, slots=True)
class Ended:
    """How one model ended.

    Attributes
    ----------
    model : str
        Its name.
    phase : Phase
        `DONE`, `FAILED`, or `PLANNED` where the campaign was stopped before it was done.
    results : tuple of Path
        Folders of its runs.
    reason, next : str
        What went wrong, and the next command.
    """

    model: str
    phase: Phase
    results: tuple[Path, ...] = ()
    reason: str = ""
    next: str = ""


@dataclass(frozen=True, slots=True)
class _Server:
    """A server that was started, or the embedded engine.

    Attributes
    ----------
    options : list of str
        How `grace run` reaches the model.
    env : dict
        What `grace run` needs for that.
    process : Process or None
        None for the embedded engine.
    log : Path or None
        What the server says.
    before : int
        Bytes in the log before it.
    """

    options: list[str]
    env: dict[str, str]
    process: Process | None = None
    log: Path | None = None
    before: int = 0

    @property
    def ended(self) -> bool:
        """Whether there was a server, and it is no more."""
        return self.process is not None and self.process.returncode is not None

    @property
    def lost_its_port(self) -> bool:
        """Whether it ended since somebody else had its port."""
        if not self.ended or self.log is None:
            return False
        with self.log.open("rb") as file:
            file.seek(self.before)
            return TAKEN in file.read()


class Local:
    """Runs models one after another.

    Parameters
    ----------
    out : Path
        Results go to `results/EXPERIMENT/MODEL/RUN`, as from a cluster.
    experiments : sequence of str
        What is asked; empty for what each model's values say.
    sample : int
        Trials of each list; 0 for what the values say.
    vllm : str
        Command that starts a vLLM server; empty for the embedded engine.
    say : callable
        Takes lines of progress.

    Raises
    ------
    SpecError
        Where there is no such program as `vllm` begins with.
    """

    def __init__(
        self,
        out: Path,
        experiments: Sequence[str] = (),
        *,
        sample: int = 0,
        vllm: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.out, self.experiments, self.sample, self.say = out, tuple(experiments), sample, say
        self.vllm = Vllm.of(vllm)
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End the child that runs, and begin no other."""
        self._stop.set()

    async def run(self, models: Sequence[Model], again: str) -> list[Ended]:
        """Every model in turn; what was answered is not asked again.

        Parameters
        ----------
        models : sequence of Model
            In order.
        again : str
            The command that goes on.

        Raises
        ------
        SpecError
            Where values ask for what only a cluster has; before anything is started.
        """
        check(models, self.experiments, self.vllm)
        ended = []
        for model in models:
            if self._stop.is_set():
                ended.append(Ended(model.name, Phase.PLANNED, next=again))
                continue
            self.say(f"{model.name}: {'vLLM' if self.vllm.words else 'embedded engine'}")
            ended.append(await self._model(model, again))
            self.say(f"{model.name}: {ended[-1].phase}")
        return ended

    async def _model(self, model: Model, again: str) -> Ended:
        wanted = self.experiments or model.experiments
        left = [run for name in wanted for run in runs(model, name, self.sample, self.out / "trials")]
        folders: list[Path] = []
        reasons: dict[str, str] = {}
        for attempt in range(PORTS):
            async with self._server(model) as server:
                while left:
                    code = await self._run(left[0], server)
                    if self._stop.is_set():
                        return Ended(model.name, Phase.PLANNED, tuple(folders), "it was stopped", again)
                    if server.lost_its_port and attempt < PORTS - 1:
                        self.say(f"{model.name}: another program has the server's port; it gets another one")
                        break
                    done = left.pop(0)
                    folders.append(self._folder(done))
                    if code:
                        reason, advice = self._why(done, code, server)
                        reasons[reason] = advice or again
                    if code == ExitCode.UNREACHABLE or server.ended:
                        # What the others ask would not be answered either.
                        left.clear()
            if not left:
                break
        if reasons:
            advice = "; ".join(dict.fromkeys(reasons.values()))
            return Ended(model.name, Phase.FAILED, tuple(folders), "; ".join(reasons), advice)
        return Ended(model.name, Phase.DONE, tuple(folders))

    def _folder(self, run: Run) -> Path:
        """Where a run's results lie; the same as on the output claim of a cluster."""
        return self.out / "results" / run.folder

    def _why(self, run: Run, code: int, server: _Server) -> tuple[str, str]:
        """Why a run failed, and what to do; empty where the same command may do."""
        if server.ended:
            assert server.process is not None
            return f"the server ended with exit code {server.process.returncode}, see {server.log}", ""
        where = self._folder(run)
        if code == ExitCode.ITEMS_FAILED:
            return f"{run.folder}: too many questions failed", f"'grace status {where}' lists the reasons"
        if code == ExitCode.BAD_INPUT:
            return (
                f"{run.folder}: it cannot be asked like this",
                "its message above says what to change; until then the same command ends in the same way",
            )
        return f"{run.folder} ended with exit code {code}", ""

    async def _run(self, run: Run, server: _Server) -> int:
        """The exit code of a `grace run`; it is ended with the campaign, and when its server has ended."""
        command = [sys.executable, "-m", "grace_client", "run", *run.arguments]
        command += [f"--out={self._folder(run)}", *server.options]
        async with _started(command, server.env) as child:
            waits = [asyncio.create_task(child.wait()), asyncio.create_task(self._stop.wait())]
            if server.process is not None:
                waits.append(asyncio.create_task(server.process.wait()))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        return ExitCode.UNREACHABLE if child.returncode is None else child.returncode

    @asynccontextmanager
    async def _server(self, model: Model) -> AsyncIterator[_Server]:
        """A server of the model, if one is wanted, and how `grace run` reaches the model."""
        queries, missing = environment(model, "queries")
        if not self.vllm.words:
            self._missing(model, missing)
            yield _Server(embedded(model), queries)
            return
        env, also_missing = environment(model, "server")
        self._missing(model, missing + also_missing)
        key, port = {"VLLM_API_KEY": secrets.token_urlsafe(30)}, _free_port()
        log = self.out / "logs" / f"{model.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = self.vllm.command(model, port)
        options = self.vllm.reached(model, port, wait_minutes(model))
        with log.open("ab") as file:
            before = file.tell()
            env |= {"VLLM_NO_USAGE_STATS": "1"} | key
            async with _started(command, env, file.fileno()) as process:
                yield _Server(options, queries | key, process, log, before)

    def _missing(self, model: Model, names: Sequence[str]) -> None:
        if names:
            self.say(
                f"{model.name}: {', '.join(names)} would come from the cluster (valueFrom), and is as this "
                "machine's environment has it"
            )


@asynccontextmanager
async def _started(
    command: Sequence[str], env: dict[str, str], out: int | None = None
) -> AsyncIterator[Process]:
    """A child with a process group of its own; leaving the block ends it and all it started.

    So does the end of this process, whatever ends it: see `leash`.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", supervise.__file__, str(GRACE_S)),
        *command,
        stdin=asyncio.subprocess.PIPE,
        # What a child prints is progress; results are the campaign's report.
        stdout=sys.stderr.fileno() if out is None else out,
        stderr=out,
        env=os.environ | env,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        await _end(child)


async def _end(child: Process) -> None:
    try:
        if child.returncode is None:
            _signal(child, signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await child.wait()
    finally:
        # Also what it started and left behind.
        _signal(child, signal.SIGKILL)
    await child.wait()


def _signal(child: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
