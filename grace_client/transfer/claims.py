"""The claims of a namespace, reached through a Job that exists only while a command uses it."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from grace_client.core import retry
from grace_client.core.errors import GraceError, ReleaseError, SpecError, refused
from grace_client.deploy.values import ModelValues, chart_folder, document, layered
from grace_client.kube import helm, job_end
from grace_client.kube.kubectl import Json, Kubectl, explained
from grace_client.run import verify
from grace_client.transfer.connection import Connection, Entry, LostError, TransferProgress
from grace_client.transfer.reader import PROTOCOL, WRONG_PROTOCOL, inside
from grace_client.transfer.runs import OUTPUT, RemoteRun, runs_of

T = TypeVar("T")

INPUT = "input"
"""Folder of the input claim in the pod, under its root."""
TEMPLATE = "templates/files/job.yaml"
START_S = 300
"""Seconds that the pod may take to start."""
IDLE_MINUTES = 2
"""Minutes after which the pod ends if this program has ended without deleting it."""
TRIES = 8
"""Number of connections in a row without a file after which the command gives up."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
HOPELESS = {"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"}
_OF_CONTAINER = ".status.containerStatuses[*].state"
_FIELDS = (
    ".metadata.name",
    ".metadata.deletionTimestamp",
    f"{_OF_CONTAINER}.running.startedAt",
    f"{_OF_CONTAINER}.waiting.reason",
    f"{_OF_CONTAINER}.terminated.exitCode",
)
# Not tabs: kubectl aligns columns of them.
STATE = '{"|"}'.join(f"{{{field}}}" for field in _FIELDS) + r'{"\n"}'


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of `Claims.fetch`.

    Attributes
    ----------
    files, unchanged : int
        Number of files on this machine now, and how many of them were there before.
    bytes : int
        Size of all of them.
    received : int
        Bytes that came over the connection.
    verified : tuple of Path
        Folders of runs whose tables and ledger match their manifests.
    partial : tuple of Path
        Folders of runs whose tables are not written yet, or whose ledger has grown since.
    stale : tuple of Path
        Ledger segments that are on this machine and not on the claim, from an older run of the same name.
    """

    files: int
    unchanged: int
    bytes: int
    received: int
    verified: tuple[Path, ...]
    partial: tuple[Path, ...]
    stale: tuple[Path, ...] = ()


def checked_pattern(pattern: str) -> str:
    """A pattern `EXPERIMENT/MODEL/RUN`; SpecError for one that leaves the claim or descends to any depth."""
    try:
        inside(Path("/"), pattern)
    except ValueError:
        raise SpecError(
            f"--runs {pattern} is a path outside the claim. Name EXPERIMENT/MODEL/RUN, where * is any text"
        ) from None
    if "**" in pattern:
        raise SpecError(
            f"--runs {pattern}: ** is not allowed. Use one * for each part of EXPERIMENT/MODEL/RUN, "
            "such as */*/*"
        )
    return pattern


def check_distinct(entries: Sequence[Entry], to: Path) -> None:
    """SpecError for two files whose names are the same on the disk of a folder."""
    seen: dict[str, str] = {}
    for entry in entries:
        other = seen.setdefault(unicodedata.normalize("NFC", entry.path).casefold(), entry.path)
        if other != entry.path and not _case_sensitive(to):
            raise SpecError(
                f"{other} and {entry.path} would be the same file in {to}: this disk does not distinguish "
                "capital and small letters. Fetch them into two folders with --runs and --to"
            )


def _case_sensitive(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".grace-", dir=folder) as probe:
        path = Path(probe.name)
        return not path.with_name(path.name.swapcase()).exists()


def upload_paths(files: Sequence[Path], folder: str) -> list[str]:
    """Paths that files get on the input claim.

    Raises
    ------
    SpecError
        For a folder that is not on the claim, and for two files of one name.
    """
    names = [str(PurePosixPath(folder) / file.name) for file in files]
    try:
        for name in names:
            inside(Path("/"), name)
    except ValueError:
        raise SpecError(
            f"--folder {folder} is outside the claim. Name a folder inside the claim, such as lists/mine"
        ) from None
    if len(set(names)) < len(names):
        raise SpecError("Two of the files have the same name. Upload them into different folders")
    return names


class Claims:
    """The claims of a namespace. `Claims.open` opens them."""

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
    ) -> AsyncIterator[Claims]:
        """Reach the claims that a release with these values uses. The Job is deleted afterwards.

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
            If the chart or the cluster refuses.
        """
        # A name of its own: two commands may fetch at a time, and no release counts this pod as its own.
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
            # The first error matters more than a Job that ends by itself in two minutes.
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
        path = f"{OUTPUT}/{checked_pattern(pattern)}"
        return runs_of(await self._retried(lambda connection: connection.list(path, checksums=False)))

    async def fetch(
        self, pattern: str, to: Path, *, on_progress: Callable[[TransferProgress], object] = lambda _: None
    ) -> Fetched:
        """Fetch runs to `to/EXPERIMENT/MODEL/RUN`; a file with the same content there is not sent again.

        It connects again as long as files arrive. A file gets its name only when it is complete and its
        checksum is right.

        Parameters
        ----------
        pattern : str
            `EXPERIMENT/MODEL/RUN` with wildcards.
        to : Path
            Folder on this machine.
        on_progress : callable
            Called after every block of a file.

        Raises
        ------
        SpecError
            If nothing matches the pattern, or if files cannot be written on this machine.
        ReleaseError
            If the connection is lost again and again, or if a finished run's tables or ledger do not match
            its manifest.
        """
        path = f"{OUTPUT}/{checked_pattern(pattern)}"
        progress = TransferProgress()

        def place(path: str) -> Path:
            return inside(to, path.removeprefix(f"{OUTPUT}/"))

        async def bring(connection: Connection) -> list[Entry]:
            entries = await connection.list(path, checksums=True)
            try:
                check_distinct(entries, to)
                await connection.get(entries, place, progress, lambda: on_progress(progress))
            except OSError as error:
                then = "Files that arrived are kept: repeat the command, or name another folder with --to"
                raise refused(error, error.filename or to, then=then) from None
            return entries

        # The pod may write a table again between manifest and table. A second try shows that it is no fault.
        for last in (False, True):
            entries = await self._retried(bring, lambda: len(progress.fetched))
            if not entries:
                raise SpecError(
                    f"Nothing on the output claim matches {pattern}. Runs on the claim: grace fetch --list"
                )
            folders = [place(run.path) for run in runs_of(entries)]
            listed = {place(entry.path) for entry in entries}
            checks = [await asyncio.to_thread(verify.check, folder, listed) for folder in folders]
            faults = [fault for found in checks for fault in found.faults]
            if not faults:
                break
            if last:
                raise ReleaseError(
                    "Files on the claim do not match their manifests:\n"
                    + "\n".join(faults)
                    + "\nThe files arrived unchanged. 'grace verify FOLDER' shows the damage in a fetched "
                    "folder, and 'grace export FOLDER' writes its tables again"
                )
        return Fetched(
            files=progress.files,
            unchanged=progress.files - len(progress.fetched),
            bytes=progress.bytes,
            received=progress.received,
            verified=tuple(folder for folder, found in zip(folders, checks, strict=True) if found.whole),
            partial=tuple(folder for folder, found in zip(folders, checks, strict=True) if not found.whole),
            stale=tuple(file for found in checks for file in found.stale),
        )

    async def upload(self, files: Sequence[Path], folder: str = "") -> list[str]:
        """Put files on the input claim.

        Parameters
        ----------
        files : sequence of Path
            Files on this machine.
        folder : str
            Folder on the claim; empty for its top.

        Returns
        -------
        list of str
            Their paths on the claim, as `queries.trials.fromInput` takes them.

        Raises
        ------
        SpecError
            As `upload_paths`.
        """
        names = upload_paths(files, folder)
        sent = 0

        async def send(connection: Connection) -> None:
            nonlocal sent
            for file, name in zip(files[sent:], names[sent:], strict=True):
                await connection.put(file, f"{INPUT}/{name}")
                sent += 1

        await self._retried(send, lambda: sent)
        return names

    async def _retried(
        self, use: Callable[[Connection], Awaitable[T]], moved: Callable[[], int] = lambda: 0
    ) -> T:
        """Use a connection, and a new one if it is lost; give up if too many in a row move no file."""
        failures, before = 0, moved()
        while True:
            try:
                async with self._connection() as connection:
                    return await use(connection)
            except ReleaseError as error:
                if moved() > before:
                    failures, before = 0, moved()
                failures += 1
                if not error.retryable or failures == TRIES:
                    raise
                await self._pause(retry.pause(failures, FIRST_PAUSE_S, LONGEST_PAUSE_S))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        program = ("python", "-m", "grace_client.transfer.reader", "serve", f"--protocol={PROTOCOL}")
        pod = await self._pod()
        async with self._kubectl.stream("exec", "--stdin", pod, "--", *program, stdin=True) as process:
            assert process.stdin and process.stdout and process.stderr
            try:
                yield Connection(process.stdout, process.stdin)
            except LostError as lost:
                said = await process.stderr.read()
                if await process.wait() == WRONG_PROTOCOL:
                    raise self._other_version(said.decode(errors="replace")) from None
                error = explained("kubectl exec", said)
                if isinstance(error, SpecError):
                    raise error from None
                raise ReleaseError(f"{lost}\n{error}", retryable=True) from None

    async def _pod(self) -> str:
        """Name of the Job's running pod; a Job that has ended is started again."""
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
                    name, deleted, running, waits, exit_code = line.decode().strip().split("|")
                    if deleted:
                        continue
                    if running:
                        return name
                    if exit_code == "1":
                        # Python did not find the program.
                        raise self._other_version(await self._kubectl.logs(name, "files"))
                    if exit_code:
                        raise ReleaseError(f"Pod {name} ended with exit code {exit_code}", retryable=True)
                    if waits in HOPELESS:
                        break
                else:
                    raise ReleaseError("'kubectl get pods --watch' ended", retryable=True)
        except TimeoutError:
            pass
        states = await self._kubectl.states(selector)
        raise ReleaseError(f"The pod through which grace reads the claims does not start:\n{states}")

    def _other_version(self, said: str) -> SpecError:
        (container,) = self._job["spec"]["template"]["spec"]["containers"]
        return SpecError(
            f"The image {container['image']} has another version of grace than this command, and cannot "
            "send it files. Name an image of the version that 'grace --version' prints, with --set "
            f"queries.image.tag=TAG.\nThe pod printed: {said.strip()}"
        )
