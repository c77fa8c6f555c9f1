"""A campaign on one machine: the same sequence, with `grace run` as a child process for each run."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grace_client.campaign.records import Phase
from grace_client.core.errors import ExitCode
from grace_client.deploy.arguments import ClientRun, client_runs, experiments
from grace_client.local import supervise
from grace_client.local.server import Vllm, check, embedded, environment, trials

AllValues = Mapping[str, Any]
"""All values of a model, the chart's defaults included."""

GRACE_S = 20.0
"""Seconds between a child's SIGTERM and its SIGKILL; meanwhile `grace run` writes the answers in flight."""
PORTS = 5
"""How many ports are tried, because another program may take one before the server listens on it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one model's runs ended.

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
        Arguments with which `grace run` reaches the model.
    env : dict
        Environment variables of `grace run`.
    process : Process or None
        The server; None for the embedded engine.
    log : Path or None
        File that the server's output is appended to.
    port : int
        Where the server listens.
    """

    options: list[str]
    env: dict[str, str]
    process: Process | None = None
    log: Path | None = None
    port: int = 0

    @property
    def ended(self) -> bool:
        """Whether there was a server and it has ended."""
        return self.process is not None and self.process.returncode is not None

    @property
    def lost_its_port(self) -> bool:
        """Whether it ended because another program had its port."""
        if not self.ended:
            return False
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Local:
    """Runs models one after another.

    Parameters
    ----------
    out : Path
        Results go to `results/EXPERIMENT/MODEL/RUN`, as from a cluster.
    experiments : sequence of str
        Names of the experiments; empty for those that each model's values enable.
    sample : int
        Number of trials to draw from each list; 0 for what the values say.
    vllm : str
        Command that starts a vLLM server; empty for the embedded engine.
    say : callable
        Called with each line of progress.

    Raises
    ------
    SpecError
        Where the program in `vllm` does not exist.
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

    async def run(self, models: Sequence[AllValues], again: str) -> list[Ended]:
        """Run every model in turn; what was answered is not asked again.

        Parameters
        ----------
        models : sequence of mapping
            All values of each model, in order.
        again : str
            The command that continues this campaign.

        Raises
        ------
        SpecError
            For values that only a cluster can follow, before anything is started.
        """
        check(models, self.experiments, self.vllm)
        ended = []
        for known in models:
            name = known["model"]["name"]
            if self._stop.is_set():
                ended.append(Ended(name, Phase.PLANNED, next=again))
                continue
            self.say(f"{name}: {'vLLM' if self.vllm.words else 'embedded engine'}")
            ended.append(await self._model(known, again))
            self.say(f"{name}: {ended[-1].phase}")
        return ended

    async def _model(self, known: AllValues, again: str) -> Ended:
        name = known["model"]["name"]
        left = [
            run
            for experiment in self.experiments or experiments(known)
            for run in client_runs(known, experiment, release=name, sample=self.sample)
        ]
        folders: list[Path] = []
        reasons: dict[str, str] = {}
        for attempt in range(PORTS):
            async with self._server(known) as server:
                while left:
                    code = await self._run(left[0], known, server)
                    if self._stop.is_set():
                        return Ended(name, Phase.PLANNED, tuple(folders), "it was stopped", again)
                    if server.lost_its_port and attempt < PORTS - 1:
                        self.say(f"{name}: another program has the server's port; trying another port")
                        break
                    done = left.pop(0)
                    folders.append(self._folder(done))
                    if code:
                        reason, advice = self._why(done, code, server)
                        reasons[reason] = advice or again
                    if code == ExitCode.UNREACHABLE or server.ended:
                        # The other runs would get no answers either.
                        left.clear()
            if not left:
                break
        if reasons:
            advice = "; ".join(dict.fromkeys(reasons.values()))
            return Ended(name, Phase.FAILED, tuple(folders), "; ".join(reasons), advice)
        return Ended(name, Phase.DONE, tuple(folders))

    def _folder(self, run: ClientRun) -> Path:
        """Folder of a run's results; below `results/` as on the output claim of a cluster."""
        return self.out / "results" / run.folder

    def _why(self, run: ClientRun, code: int, server: _Server) -> tuple[str, str]:
        """Why a run failed, and what to do; empty where the same command may succeed."""
        if server.ended:
            assert server.process is not None
            return f"the server ended with exit code {server.process.returncode}, see {server.log}", ""
        where = self._folder(run)
        if code == ExitCode.ITEMS_FAILED:
            return f"{run.folder}: too many questions failed", f"'grace status {where}' lists the reasons"
        if code == ExitCode.BAD_INPUT:
            return (
                f"{run.folder}: its arguments or its trial list are refused",
                "change what its message above says; until then the same command fails again",
            )
        return f"{run.folder} ended with exit code {code}", ""

    async def _run(self, run: ClientRun, known: AllValues, server: _Server) -> int:
        """Exit code of a `grace run`; it is ended when the campaign is stopped or its server has ended."""
        command = [sys.executable, "-m", "grace_client", "run", *run.arguments]
        command += [f"--out={self._folder(run)}", *server.options]
        command += trials(known, run.arguments[0], self.out / "trials")
        async with _started(command, server.env) as child:
            waits = [asyncio.create_task(child.wait()), asyncio.create_task(self._stop.wait())]
            if server.process is not None:
                waits.append(asyncio.create_task(server.process.wait()))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        return ExitCode.UNREACHABLE if child.returncode is None else child.returncode

    @asynccontextmanager
    async def _server(self, known: AllValues) -> AsyncIterator[_Server]:
        """A server of the model, or the embedded engine."""
        name = known["model"]["name"]
        queries, missing = environment(known, "queries")
        env, also_missing = environment(known, "server") if self.vllm.words else ({}, [])
        if missing := [*missing, *also_missing]:
            self.say(
                f"{name}: the values take {', '.join(missing)} from the cluster (valueFrom). Here, set such "
                "variables in your shell"
            )
        if not self.vllm.words:
            yield _Server(embedded(known), queries)
            return
        key, port = {"VLLM_API_KEY": secrets.token_urlsafe(30)}, _free_port()
        log = self.out / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = self.vllm.command(known, port)
        options = self.vllm.reached(known, port)
        with log.open("ab") as file:
            env |= {"VLLM_NO_USAGE_STATS": "1"} | key
            async with _started(command, env, file.fileno()) as process:
                yield _Server(options, queries | key, process, log, port)


@asynccontextmanager
async def _started(
    command: Sequence[str], env: dict[str, str], out: int | None = None
) -> AsyncIterator[Process]:
    """A child in a process group of its own; leaving the block ends it and all it started.

    So does the end of this process, also by SIGKILL: see `supervise`.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", supervise.__file__, str(GRACE_S)),
        *command,
        stdin=asyncio.subprocess.PIPE,
        # A child prints progress. Standard output is for the campaign's report.
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
        # Its own children may still run.
        _signal(child, signal.SIGKILL)
    await child.wait()


def _signal(child: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
