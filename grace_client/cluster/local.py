"""A campaign on one machine: the same sequence, with `grace run` as a child process for each run."""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from grace_client.cluster.records import Phase
from grace_client.errors import ExitCode, SpecError

GRACE_S = 20.0
"""Seconds that a child has to end when it is told to; `grace run` writes the answers in flight."""


@dataclass(frozen=True, slots=True)
class Model:
    """What runs as one model.

    Attributes
    ----------
    name : str
        In folders, and the name under which a vLLM serves it.
    repository, revision, dtype : str
        For the server or the embedded engine; `repository` is empty for the embedded model.
    longest : int
        Longest sequence in tokens.
    """

    name: str
    repository: str = ""
    revision: str = "main"
    dtype: str = "auto"
    longest: int = 4096


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


class Local:
    """Runs models one after another.

    Parameters
    ----------
    out : Path
        Results go to `results/EXPERIMENT/MODEL/MODEL`, as from a cluster.
    experiments : sequence of str
        What is asked.
    sample : int
        Trials of each list; 0 for all.
    vllm : str
        Command that starts a vLLM server; empty for the embedded engine.
    say : callable
        Takes lines of progress.
    wait_minutes : float
        For a server's first answer.
    """

    def __init__(
        self,
        out: Path,
        experiments: Sequence[str],
        *,
        sample: int = 0,
        vllm: str = "",
        say: Callable[[str], None] = lambda _: None,
        wait_minutes: float = 60.0,
    ) -> None:
        self.out, self.experiments, self.sample = out, tuple(experiments), sample
        self.vllm, self.say, self.wait_minutes = vllm, say, wait_minutes
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
        """
        ended = []
        for model in models:
            if self._stop.is_set():
                ended.append(Ended(model.name, Phase.PLANNED, next=again))
                continue
            self.say(f"{model.name}: {'vLLM' if self.vllm else 'embedded engine'}")
            ended.append(await self._model(model, again))
            self.say(f"{model.name}: {ended[-1].phase}")
        return ended

    def folder(self, experiment: str, model: str) -> Path:
        """Where a run's results lie; the same as on the output claim of a cluster."""
        return self.out / "results" / experiment / model / model

    async def _model(self, model: Model, again: str) -> Ended:
        key = secrets.token_urlsafe(30)
        folders: list[Path] = []
        async with self._server(model, key) as (server, options):
            for experiment in self.experiments:
                folder = self.folder(experiment, model.name)
                command = [sys.executable, "-m", "grace_client", "run", experiment, "--out", str(folder)]
                command += [*options, *(["--sample", str(self.sample)] if self.sample else [])]
                code = await self._child(command, {"VLLM_API_KEY": key} if server else {}, server)
                if self._stop.is_set():
                    return Ended(model.name, Phase.PLANNED, tuple(folders), "it was stopped", again)
                folders.append(folder)
                if code:
                    reason = f"{experiment} ended with exit code {code}"
                    if server is not None and server.returncode is not None:
                        reason += f"; the server had ended with {server.returncode}, see {self._log(model)}"
                    return Ended(model.name, Phase.FAILED, tuple(folders), reason, again)
        return Ended(model.name, Phase.DONE, tuple(folders))

    async def _child(self, command: Sequence[str], env: dict[str, str], server: Process | None) -> int:
        """A child's exit code; it is ended with the campaign, and when its server has ended."""
        async with _started(command, env) as child:
            waits = [asyncio.create_task(child.wait()), asyncio.create_task(self._stop.wait())]
            if server is not None:
                waits.append(asyncio.create_task(server.wait()))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        return ExitCode.UNREACHABLE if child.returncode is None else child.returncode

    def _log(self, model: Model) -> Path:
        return self.out / "logs" / f"{model.name}.log"

    @asynccontextmanager
    async def _server(self, model: Model, key: str) -> AsyncIterator[tuple[Process | None, list[str]]]:
        """A server of the model, if one is wanted, and how `grace run` reaches the model."""
        if not self.vllm:
            yield None, ["--model", model.repository] if model.repository else []
            return
        if not model.repository:
            raise SpecError("the embedded model has no server here: scripts/vllm-cpu starts one")
        port = _free_port()
        command = [*shlex.split(self.vllm), model.repository, f"--revision={model.revision}"]
        command += [f"--served-model-name={model.name}", f"--dtype={model.dtype}"]
        command += [f"--max-model-len={model.longest}", "--enable-prefix-caching", f"--port={port}"]
        log = self._log(model)
        log.parent.mkdir(parents=True, exist_ok=True)
        options = [f"--server=http://127.0.0.1:{port}", f"--model={model.name}"]
        options += [f"--wait-for-server={self.wait_minutes:g}"]
        options += [f"--declare={n}={v}" for n, v in (("dtype", model.dtype), ("revision", model.revision))]
        with log.open("ab") as file:
            async with _started(command, {"VLLM_API_KEY": key}, file.fileno()) as server:
                yield server, options


@asynccontextmanager
async def _started(
    command: Sequence[str], env: dict[str, str], out: int | None = None
) -> AsyncIterator[Process]:
    """A child with a process group of its own; leaving the block ends it and all it started."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        # What a child prints is progress; results are the campaign's report.
        stdout=sys.stderr.fileno() if out is None else out,
        stderr=out,
        env=os.environ | env,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            await _end(child)


async def _end(child: Process) -> None:
    for number, seconds in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await child.wait()
                return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
