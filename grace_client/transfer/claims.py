"""What lies on a namespace's claims, reached through a Job that is there only as long as somebody uses it."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from grace_client.core import retry
from grace_client.core.errors import GraceError, ReleaseError, SpecError, refused
from grace_client.deploy.values import ModelValues, chart_folder, document, layered
from grace_client.kube import helm, job_end
from grace_client.kube.kubectl import Json, Kubectl, explained
from grace_client.transfer.download import Channel, Entry, LostError, Progress, home
from grace_client.transfer.reader import inside
from grace_client.transfer.runs import OUTPUT, RemoteRun, check, runs_of

T = TypeVar("T")

INPUT = "input"
"""Where the input claim lies in the pod."""
TEMPLATE = "templates/files/job.yaml"
START_S = 300
"""Seconds that the pod may take to start."""
IDLE_MINUTES = 2
"""Minutes after which the pod ends by itself when this program has vanished."""
TRIES = 8
"""Connections in a row that may bring nothing."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
HOPELESS = {"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"}
# kubectl makes columns of tabs.
STATE = (
    '{.metadata.name}{"|"}{.status.containerStatuses[*].state.running.startedAt}{"|"}'
    '{.status.containerStatuses[*].state.waiting.reason}{"\\n"}'
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a transfer brought home.

    Attributes
    ----------
    files, unchanged : int
        Files at home, and how many of them had been there already.
    bytes : int
        Size of all of them.
    received : int
        Bytes that came over the connection.
    verified : tuple of Path
        Folders of runs whose tables and ledger are what their manifests say.
    partial : tuple of Path
        Folders of runs whose tables are not written yet, or whose ledger has grown since.
    stale : tuple of Path
        Segments of ledgers that are at home, and not on the claim: those of an older run of the same name.
    """

    files: int
    unchanged: int
    bytes: int
    received: int
    verified: tuple[Path, ...]
    partial: tuple[Path, ...]
    stale: tuple[Path, ...] = ()


def checked_pattern(pattern: str) -> str:
    """A pattern `EXPERIMENT/MODEL/RUN`, before anything is asked of the cluster.

    Raises
    ------
    SpecError
        For one that leaves the claim, or goes down folders of any depth.
    """
    try:
        inside(Path("/"), pattern)
    except ValueError:
        raise SpecError(
            f"--runs {pattern} leaves the claim; name EXPERIMENT/MODEL/RUN with wildcards"
        ) from None
    if "**" in pattern:
        raise SpecError(f"--runs {pattern}: a wildcard stands for one folder; name EXPERIMENT/MODEL/RUN")
    return pattern


def distinct(entries: Sequence[Entry], to: Path) -> None:
    """Refuse files whose names differ by nothing that the disk at home tells apart.

    Raises
    ------
    SpecError
        With two of them.
    """
    seen: dict[str, str] = {}
    for entry in entries:
        other = seen.setdefault(unicodedata.normalize("NFC", entry.path).casefold(), entry.path)
        if other != entry.path and not tells_apart(to):
            raise SpecError(
                f"{other} and {entry.path} would be one file in {to}: its disk does not tell capital "
                "from small letters; fetch them into two folders with --runs and --to"
            )


def tells_apart(folder: Path) -> bool:
    """Whether a disk tells capital from small letters."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".grace-", dir=folder) as probe:
        path = Path(probe.name)
        return not path.with_name(path.name.swapcase()).exists()


def on_the_claim(files: Sequence[Path], folder: str) -> list[str]:
    """Where files will lie on the input claim, before anything is asked of the cluster.

    Raises
    ------
    SpecError
        For a folder that is not on the claim, and for two files of one name.
    """
    names = [str(PurePosixPath(folder) / file.name) for file in files]
    for name in names:
        try:
            inside(Path("/"), name)
        except ValueError:
            raise SpecError(
                f"--folder {folder} is not on the claim; name a folder from its top, such as lists/mine"
            ) from None
    if len(set(names)) < len(names):
        raise SpecError("two of the files have one name; upload them into different folders")
    return names


class Results:
    """The claims of a namespace; made by `Results.open`."""

    def __init__(
        self, kubectl: Kubectl, job: Json, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._kubectl, self._job, self._pause = kubectl, job, pause
        self._name = str(job["metadata"]["name"])

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        kubectl: Kubectl,
        values: ModelValues,
        *,
        chart: Path | None = None,
        sets: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Results]:
        """A way to the claims that a release with these values uses; nothing of it is left afterwards.

        Parameters
        ----------
        kubectl : Kubectl
            The namespace.
        values : ModelValues
            Names the claims and the client's image.
        chart : Path or None
            The chart; None for the one that came with grace.
        sets : mapping
            Values that win over the files, as of a `Release`.

        Raises
        ------
        SpecError
            Where the chart or the cluster refuses.
        """
        # A name of its own: two may fetch at a time, and no release counts this pod as its own.
        name = f"{values.name[:24]}-{secrets.token_hex(3)}"
        own = {"nameOverride": name, "files": {"enabled": True, "idleMinutes": IDLE_MINUTES}}
        (job,) = await helm.template(
            chart or chart_folder(),
            document=layered(document(values, sets or {}), own),
            only=TEMPLATE,
            release=f"files-{name}",
            namespace=await kubectl.namespace_name(),
        )
        try:
            await kubectl.apply(job.body)
            yield cls(kubectl, job.body)
        except BaseException:
            # What went wrong matters more than a Job that ends by itself in two minutes.
            with suppress(GraceError):
                await kubectl.delete("job", job.name)
            raise
        await kubectl.delete("job", job.name)

    async def runs(self, pattern: str = "*/*/*") -> list[RemoteRun]:
        """Runs on the output claim, in the order of their paths.

        Parameters
        ----------
        pattern : str
            `EXPERIMENT/MODEL/RUN` with wildcards.
        """
        pattern = checked_pattern(pattern)
        return runs_of(await self._patiently(lambda channel: channel.list(f"{OUTPUT}/{pattern}")))

    async def fetch(
        self, pattern: str, to: Path, *, on_progress: Callable[[Progress], None] = lambda _: None
    ) -> Fetched:
        """Bring runs home, as `to/EXPERIMENT/MODEL/RUN`; what is there already is not sent again.

        A lost connection is made again as long as something arrives. A file has its name only when it is
        whole and its checksum right; until then it is a hidden file beside it, which later calls go on with.

        Parameters
        ----------
        pattern : str
            `EXPERIMENT/MODEL/RUN` with wildcards.
        to : Path
            Folder at home.
        on_progress : callable
            Told after every file, and while a large one arrives.

        Raises
        ------
        SpecError
            Where nothing matches the pattern, and where files cannot be written at home.
        ReleaseError
            Where the connection cannot be kept, and where a finished run's tables or ledger are not what its
            manifest says.
        """
        pattern = checked_pattern(pattern)
        place = home(to, OUTPUT)
        doubtful: frozenset[Path] = frozenset()
        # A table that was written anew between manifest and table is no fault; it is seen on a second look.
        # So is a file at home that looks like the one on the claim and is not.
        for last in (False, True):
            entries, done = await self._bring(pattern, to, place, on_progress, doubtful)
            if not entries:
                raise SpecError(
                    f"nothing on the output claim matches {pattern}; 'grace fetch --list' tells what is there"
                )
            folders = [place(f"{OUTPUT}/{run.path}") for run in runs_of(entries)]
            listed = {place(entry.path) for entry in entries}
            checks = [await asyncio.to_thread(check, folder, listed) for folder in folders]
            doubtful = frozenset(file for found in checks for file in found.doubtful)
            faults = [fault for found in checks for fault in found.faults]
            if not faults or last:
                break
        if faults:
            raise ReleaseError(
                "what is on the claim is not what its manifests say:\n" + "\n".join(faults) + "\nEverything "
                "arrived as it was sent. 'grace verify' and 'grace export' work on the fetched folders"
            )
        return Fetched(
            files=done.files,
            unchanged=done.unchanged,
            bytes=done.bytes,
            received=done.received,
            verified=tuple(folder for folder, found in zip(folders, checks, strict=True) if found.whole),
            partial=tuple(folder for folder, found in zip(folders, checks, strict=True) if not found.whole),
            stale=tuple(file for found in checks for file in found.stale),
        )

    async def upload(self, files: Sequence[Path], folder: str = "") -> list[str]:
        """Put files on the input claim.

        Parameters
        ----------
        files : sequence of Path
            Files at home.
        folder : str
            Folder on the claim; empty for its top.

        Returns
        -------
        list of str
            Their paths on the claim, as `queries.trials.fromInput` takes them.

        Raises
        ------
        SpecError
            As `on_the_claim`.
        """
        names = on_the_claim(files, folder)

        async def send(channel: Channel) -> None:
            for file, name in zip(files, names, strict=True):
                await channel.put(file, f"{INPUT}/{name}")

        await self._patiently(send)
        return names

    async def _bring(
        self,
        pattern: str,
        to: Path,
        place: Callable[[str], Path],
        on_progress: Callable[[Progress], None],
        doubtful: Container[Path],
    ) -> tuple[list[Entry], Progress]:
        before = now = 0

        def told(progress: Progress) -> None:
            nonlocal now
            now = progress.received
            on_progress(replace(progress, received=before + now))

        async def bring(channel: Channel) -> tuple[list[Entry], Progress]:
            nonlocal before, now
            before, now = before + now, 0
            entries = await channel.list(f"{OUTPUT}/{pattern}")
            try:
                distinct(entries, to)
                return entries, await channel.get(entries, place, told, doubtful)
            except OSError as error:
                then = "What has arrived is kept: repeat the command, or name another folder with --to"
                raise refused(error, error.filename or to, then=then) from None

        entries, done = await self._patiently(bring, lambda: before + now)
        return entries, replace(done, received=before + now)

    async def _patiently(
        self, what: Callable[[Channel], Awaitable[T]], moved: Callable[[], int] = lambda: 0
    ) -> T:
        """Do something over a connection; over another one where it is lost, as long as anything moves."""
        failures, before = 0, moved()
        while True:
            try:
                async with self._channel() as channel:
                    return await what(channel)
            except ReleaseError as error:
                if moved() > before:
                    failures, before = 0, moved()
                failures += 1
                if not error.retryable or failures == TRIES:
                    raise
                await self._pause(retry.pause(failures, FIRST_PAUSE_S, LONGEST_PAUSE_S))

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[Channel]:
        program = ("python", "-m", "grace_client.transfer.reader", "serve")
        pod = await self._pod()
        async with self._kubectl.stream("exec", "--stdin", pod, "--", *program, stdin=True) as process:
            assert process.stdin and process.stdout and process.stderr
            try:
                yield Channel(process.stdout, process.stdin)
            except LostError:
                error = explained("kubectl exec", await process.stderr.read())
                if isinstance(error, SpecError):
                    raise error from None
                raise ReleaseError(f"{LostError()}\n{error}", retryable=True) from None

    async def _pod(self) -> str:
        """The Job's running pod; the Job is started anew where it has ended."""
        jobs = await self._kubectl.get("job", names=[self._name])
        if any(job_end.ending(job) for job in jobs):
            await self._kubectl.delete("job", self._name, wait=True)
            jobs = []
        if not jobs:
            await self._kubectl.apply(self._job)
        selector = f"job-name={self._name}"
        watching = ("get", "pods", "--selector", selector, "--watch", f"--output=jsonpath={STATE}")
        try:
            async with asyncio.timeout(START_S), self._kubectl.stream(*watching) as process:
                assert process.stdout
                async for line in process.stdout:
                    name, running, reason = line.decode().strip().split("|")
                    if running:
                        return name
                    if reason in HOPELESS:
                        break
                else:
                    raise ReleaseError("kubectl get --watch ended", retryable=True)
        except TimeoutError:
            pass
        states = await self._kubectl.states(selector)
        raise ReleaseError(f"the pod that reaches the claims does not start:\n{states}")
