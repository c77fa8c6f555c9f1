"""A campaign on one machine: the same sequence, with `grace run` as a child process for each run."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from grace_client.campaign.records import Phase
from grace_client.core.errors import ExitCode
from grace_client.deploy.arguments import ClientRun, client_runs
from grace_client.deploy.study import experiments
from grace_client.kube import process
from grace_client.kube.process import Running
from grace_client.local import supervise
from grace_client.local.server import Vllm, asked, check, embedded, environment

AllValues = Mapping[str, Any]
"""All values of a model, the chart's defaults included."""

GRACE_S = 20.0
"""Seconds that a program has to end after SIGTERM; `grace run` writes the answers in flight."""
PORTS = 5
"""Number of ports to try if another program takes the chosen one before the server starts."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one model ended.

    Attributes
    ----------
    model : str
        Its name.
    phase : Phase
        `DONE`, `FAILED`, or `PLANNED` if the campaign was stopped before the model was done.
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
    process : Running or None
        None for the embedded engine.
    log : Path or None
        The server's output.
    port : int
        The server's port.
    """

    options: list[str]
    env: dict[str, str]
    process: Running | None = None
    log: Path | None = None
    port: int = 0

    @property
    def ended(self) -> bool:
        """Whether there was a server, and it has ended."""
        return self.process is not None and self.process.returncode is not None


class Local:
    """Runs models one after another.

    Parameters
    ----------
    out : Path
        Results go to `results/EXPERIMENT/MODEL/RUN`, as from a cluster.
    experiments : sequence of str
        Names of experiments; empty for those that each model's values enable.
    sample : int
        Number of trials to draw from each list; 0 for the number in the values.
    ways : mapping of str to str
        Designs of ways of asking by experiment; for the others, those in the values.
    vllm : str
        Command that starts a vLLM server; empty for the embedded engine.
    say : callable
        Prints a line of progress.

    Raises
    ------
    SpecError
        If `vllm` begins with a program that does not exist.
    """

    def __init__(
        self,
        out: Path,
        experiments: Sequence[str] = (),
        *,
        sample: int = 0,
        ways: Mapping[str, str] = MappingProxyType({}),
        vllm: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.out, self.experiments, self.say = out, tuple(experiments), say
        self.sample, self.ways = sample, ways
        self.vllm = Vllm.of(vllm)
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End the run in progress, and begin no other."""
        self._stop.set()

    async def run(self, models: Sequence[AllValues], again: str) -> list[Ended]:
        """Run every model in turn; answered questions are not asked again.

        Parameters
        ----------
        models : sequence of mapping
            All values of each model, in order.
        again : str
            The command that continues this campaign.

        Raises
        ------
        SpecError
            For values that work only on a cluster, before anything starts.
        """
        check(models, self.experiments, self.vllm)
        ended = []
        for known in models:
            name = known["model"]["name"]
            if self._stop.is_set():
                ended.append(Ended(name, Phase.PLANNED, next=again))
                continue
            self.say(f"{name}: starting {'vLLM' if self.vllm.words else 'the embedded engine'}")
            ended.append(await self._model(name, known, again))
            self.say(f"{name}: {ended[-1].phase}")
        return ended

    async def _model(self, name: str, known: AllValues, again: str) -> Ended:
        left = [
            run
            for experiment in self.experiments or experiments(known)
            for run in client_runs(
                known, experiment, release=name, sample=self.sample, ways=self.ways.get(experiment, "")
            )
        ]
        folders: list[Path] = []
        reasons: dict[str, str] = {}

        def note(run: ClientRun, code: int) -> None:
            folders.append(self._folder(run))
            if code:
                reason, advice = self._why(run, code, server)
                reasons[reason] = advice or again

        ports = PORTS
        while left:
            async with self._server(name, known) as server:
                while left:
                    code = await self._run(left[0], known, server)
                    if self._stop.is_set():
                        return Ended(name, Phase.PLANNED, tuple(folders), "it was stopped", again)
                    if code and server.ended:
                        break
                    note(left.pop(0), code)
                    if code == ExitCode.UNREACHABLE:
                        # The other runs would fail in the same way.
                        left.clear()
            ports -= 1
            # The server and all that it started have ended: what answers at its port is another program.
            if left and ports and _answers(server.port):
                self.say(f"{name}: another program uses the server's port; trying another port")
            elif left:
                note(left[0], code)
                left.clear()
        if reasons:
            advice = "; ".join(dict.fromkeys(reasons.values()))
            return Ended(name, Phase.FAILED, tuple(folders), "; ".join(reasons), advice)
        return Ended(name, Phase.DONE, tuple(folders))

    def _folder(self, run: ClientRun) -> Path:
        """The folder of a run's results; the same as on the output claim of a cluster."""
        return self.out / "results" / run.folder

    def _why(self, run: ClientRun, code: int, server: _Server) -> tuple[str, str]:
        """Why a run failed, and what to do; empty if repeating the command may help."""
        if server.ended:
            assert server.process is not None
            return f"the server ended with exit code {server.process.returncode}. Its log: {server.log}", ""
        where = self._folder(run)
        if code == ExitCode.ITEMS_FAILED:
            return f"{run.folder}: too many questions failed", f"'grace status {where}' lists the reasons"
        if code == ExitCode.BAD_INPUT:
            return (
                f"{run.folder}: its settings are wrong",
                "correct the setting that the message above names, then repeat the command",
            )
        return f"{run.folder} ended with exit code {code}", ""

    async def _run(self, run: ClientRun, known: AllValues, server: _Server) -> int:
        """The exit code of a `grace run`, which ends with the campaign and with its server."""
        command = [sys.executable, "-m", "grace_client", "run"]
        command += [*asked(known, run.experiment, self.out / "trials"), *run.arguments]
        command += [f"--out={self._folder(run)}", *server.options]
        async with _started(command, server.env) as child:
            waits = [asyncio.create_task(child.ended()), asyncio.create_task(self._stop.wait())]
            if server.process is not None:
                waits.append(asyncio.create_task(server.process.ended()))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        return ExitCode.UNREACHABLE if child.returncode is None else child.returncode

    @asynccontextmanager
    async def _server(self, name: str, known: AllValues) -> AsyncIterator[_Server]:
        """A server of the model, or the embedded engine, and how `grace run` reaches it."""
        queries, missing = environment(known, "queries")
        env, also_missing = environment(known, "server") if self.vllm.words else ({}, [])
        if missing := [*missing, *also_missing]:
            self.say(
                f"{name}: the values take {', '.join(missing)} from the cluster (valueFrom). On this "
                "machine, set them in your shell"
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
            async with _started(command, env, file.fileno()) as running:
                yield _Server(options, queries | key, running, log, port)


def _started(
    command: Sequence[str], env: dict[str, str], out: int | None = None
) -> AbstractAsyncContextManager[Running]:
    """A program that ends with the block, and with this process even if that is killed (see `supervise`)."""
    return process.started(
        [sys.executable, "-I", "-S", supervise.__file__, str(GRACE_S), *command],
        stdin=PIPE,
        # stdout is for the campaign's report; the output of its programs is progress.
        stdout=sys.stderr.fileno() if out is None else out,
        stderr=sys.stderr.fileno() if out is None else out,
        env=os.environ | env,
        grace_seconds=GRACE_S,
        whole_group=True,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    """Whether a program listens at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
