"""The cluster's API through kubectl: it has the very kubeconfig, context, plugins and proxy that helm has."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Any

from grace_client.core.errors import GraceError, ReleaseError, SpecError
from grace_client.kube import process

if TYPE_CHECKING:
    from asyncio.subprocess import Process

Json = dict[str, Any]

WARNINGS = 5
"""How many of the latest warnings a message tells."""

_LOGIN = re.compile(
    r"must be logged in|unauthorized|provide credentials|getting credentials|x509|context was not found"
    r"|cannot locate context|context \S+ does not exist|no configuration has been provided"
    r"|invalid configuration|loading config file|stat \S+: no such file",
    re.IGNORECASE,
)
_AWAY = re.compile(
    r"refused|unreachable|unable to connect to the server|timed? ?out|deadline exceeded|etcdserver"
    r"|currently unable|unexpected EOF|connection reset|broken pipe|no route to host|no such host"
    r"|internal ?error|service ?unavailable|too many requests|connection lost|not ready|shutting down"
    r"|error dialing backend|error sending request",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(r"forbidden|denied the request", re.IGNORECASE)
# What a node or a webhook says to the API server, which knows the user well; of one node's certificate or
# its refusal nobody need log in.
_BEYOND = re.compile(
    r"Error from server[^\n]*x509|failed calling webhook|\(\s*(pods|nodes)/(log|exec|attach|proxy)"
    r"|subresource=proxy|unable to upgrade connection|error dialing backend|:10250/",
    re.IGNORECASE,
)
# A login that fails for want of a network.
_PLUGIN = re.compile(r"getting credentials", re.IGNORECASE)
_NETWORK = re.compile(
    r"dial (tcp|udp)|no such host|i/o timeout|connection (refused|reset)|network is unreachable"
    r"|name resolution|context deadline exceeded",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(r"\(NotFound\)")
_NO_LOG = re.compile(
    r"is waiting to start|previous terminated container|ContainerCreating|PodInitializing"
    r"|is not valid for pod",
    re.IGNORECASE,
)
_NOISE = re.compile(r"[EWI]\d{4} |level=|WARNING: |Warning: ")


def words(said: bytes) -> str:
    """What a program complained of, without what it logged on the way."""
    lines = [line.rstrip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return "\n".join([line for line in lines if not _NOISE.match(line.lstrip())] or lines)


def explained(program: str, said: bytes) -> GraceError:
    """The error that a complaint of kubectl or helm means.

    An API that is away may come back: `ReleaseError` that is retryable. A user who is not known or not
    allowed stays so: `SpecError`. Anything else is a `ReleaseError` that is not retryable.
    """
    text = words(said) or "it ended without a word"
    if _BEYOND.search(text):
        return ReleaseError(
            f"{program}: {text}\nThe cluster's API had no answer from a node or a webhook; the same command "
            "may succeed later",
            retryable=True,
        )
    # Helm and kubectl wrap an API's refusal in words that sound like a lost connection; the refusal decides.
    if _LOGIN.search(text) and not (_PLUGIN.search(text) and _NETWORK.search(text)):
        return SpecError(
            f"{program}: {text}\nThe cluster does not know you by this configuration: look at "
            "'kubectl config get-contexts' and log in, or name --kubeconfig and --context"
        )
    if _FORBIDDEN.search(text):
        return SpecError(
            f"{program}: {text}\nThe cluster refuses this. 'kubectl auth can-i --list' tells what you "
            "may; the rest only an administrator of the namespace can give"
        )
    if _AWAY.search(text):
        return ReleaseError(
            f"{program}: {text}\nThe cluster's API did not answer; the same command may succeed later",
            retryable=True,
        )
    return ReleaseError(f"{program}: {text}")


def _state(pod: Json) -> str:
    """A pod's phase, and what its containers wait for or ended with."""
    status = pod["status"]
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    notes = []
    for container in containers:
        for state in container.get("state", {}), container.get("lastState", {}):
            if reason := next((told["reason"] for told in state.values() if told.get("reason")), None):
                notes.append(f"{container['name']} {reason}")
    return f"{pod['metadata']['name']}: {status.get('phase')}" + (f" ({', '.join(notes)})" if notes else "")


class Kubectl:
    """One namespace of a cluster.

    Parameters
    ----------
    kubeconfig : Path or None
        Configuration file; None for what kubectl finds.
    context : str or None
        Context in it; None for the current one.
    namespace : str or None
        Namespace; None for the context's own, see `namespace_name`.
    timeout : float
        Seconds that one call may take.

    Raises
    ------
    SpecError
        Where kubectl is not on the PATH, from the first call on where the user is not known or not allowed.
    """

    def __init__(
        self,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        namespace: str | None = None,
        timeout: float = 60,
    ) -> None:
        program = shutil.which("kubectl")
        if program is None:
            raise SpecError(
                "kubectl is not on the PATH, and reaching a cluster needs it: see "
                "https://kubernetes.io/docs/tasks/tools"
            )
        self.kubeconfig, self.context, self.namespace, self.timeout = kubeconfig, context, namespace, timeout
        self._base = [program]
        if kubeconfig:
            self._base += ["--kubeconfig", str(kubeconfig)]
        if context:
            self._base += ["--context", context]

    async def namespace_name(self) -> str:
        """The namespace: the given one, or the context's own."""
        if self.namespace is None:
            asked = ["config", "view", "--minify", "--output", "jsonpath={..namespace}"]
            found = await self._done([*self._base, *asked])
            self.namespace = found.decode().strip() or "default"
        return self.namespace

    async def get(self, kind: str, *, selector: str = "", names: Sequence[str] = ()) -> list[Json]:
        """Objects of a kind, or of several (`pods,jobs`); those of `names` that there are, or all.

        A selector together with names is refused by kubectl.
        """
        if selector and names:
            raise ValueError("either a selector or names")
        only = ["--selector", selector] if selector else []
        options = ["--ignore-not-found", "--output", "json"]
        said = await self._run("get", kind, *names, *only, *options)
        if not said.strip():
            return []
        found: Json = json.loads(said)
        items: list[Json] = found["items"] if found.get("kind") == "List" else [found]
        return items

    async def apply(self, *objects: Json) -> None:
        """Create objects, or bring them to what is given (server-side, as field manager `grace`)."""
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode()
        options = ["--server-side", "--field-manager", "grace", "--force-conflicts"]
        await self._run("apply", *options, "--filename", "-", stdin=document)

    async def create(self, item: Json) -> bool:
        """Create an object; False where there is one of that name already."""
        try:
            await self._run("create", "--filename", "-", stdin=json.dumps(item).encode())
        except ReleaseError as error:
            if "AlreadyExists" in str(error):
                return False
            raise
        return True

    async def time(self) -> datetime:
        """The cluster's time, to the second: when it would create an object that it does not."""
        item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "grace-time"}}
        options = ["--dry-run=server", "--output", "json", "--filename", "-"]
        said = await self._run("create", *options, stdin=json.dumps(item).encode())
        return datetime.fromisoformat(json.loads(said)["metadata"]["creationTimestamp"])

    async def patch(self, kind: str, name: str, patch: Json) -> None:
        """Merge a patch into an object; null deletes."""
        # A command line holds 128 KiB at most, and others may read it. Not through standard input: a kubectl
        # that opens /dev/stdin cannot where that is a socket, as some versions of Python make it.
        with tempfile.NamedTemporaryFile("w", prefix="grace-", suffix=".json", encoding="utf-8") as file:
            json.dump(patch, file)
            file.flush()
            await self._run("patch", kind, name, "--type", "merge", "--patch-file", file.name)

    async def delete(self, kind: str, name: str, *, wait: bool = False, grace: int | None = None) -> None:
        """Delete an object; that there is none is fine.

        Parameters
        ----------
        kind, name : str
            Which.
        wait : bool
            Whether to return only when it is gone, with everything that it owns.
        grace : int or None
            Seconds that pods have to end.
        """
        options = ["--ignore-not-found", f"--wait={str(wait).lower()}"]
        if wait:
            options += ["--cascade=foreground", f"--timeout={self.timeout:.0f}s"]
        if grace is not None:
            options += [f"--grace-period={grace}"]
        await self._run("delete", kind, name, *options)

    async def gone(self, kind: str, names: Sequence[str], *, timeout: float) -> None:
        """Wait until objects are gone; TimeoutError after `timeout` seconds."""
        command = await self._command("wait", kind, *names, "--for=delete", f"--timeout={timeout + 5:.0f}s")
        done = await process.run(command, timeout=timeout)
        if done.code and not _NOT_FOUND.search(words(done.err)):
            if b"timed out waiting" in done.err:
                raise TimeoutError
            raise explained("kubectl wait", done.err)

    async def logs(self, pod: str, container: str, *, tail: int = 40, previous: bool = False) -> str:
        """The last lines that a container printed; empty where there are none, or no such pod."""
        options = [f"--tail={tail}", f"--previous={str(previous).lower()}"]
        command = await self._command("logs", pod, "--container", container, *options)
        done = await self._ended(command, None)
        if not done.code:
            return done.out.decode(errors="replace")
        said = words(done.err)
        if _NOT_FOUND.search(said) or _NO_LOG.search(said):
            return ""
        raise explained("kubectl logs", done.err)

    async def states(self, selector: str) -> str:
        """What pods are in, and the latest warnings about them, for a message; empty where nobody tells."""
        try:
            pods = await self.get("pods,jobs", selector=selector)
            events = await self.get("events")
        except GraceError:
            return ""
        names = {pod["metadata"]["name"] for pod in pods}
        lines = [_state(pod) for pod in pods if pod["kind"] == "Pod"]
        warnings = {
            f"{event['involvedObject']['name']}: {event.get('reason')}: {event.get('message')}": event
            for event in sorted(events, key=lambda event: str(event.get("lastTimestamp") or ""))
            if event.get("type") == "Warning" and event["involvedObject"].get("name") in names
        }
        return "\n".join([*lines, *list(warnings)[-WARNINGS:]])

    @asynccontextmanager
    async def stream(self, *arguments: str, stdin: bool = False) -> AsyncIterator[Process]:
        """A kubectl that goes on, such as `exec` or `get --watch`; leaving the block ends it."""
        command = await self._command(*arguments)
        async with process.started(command, stdin=PIPE if stdin else DEVNULL) as running:
            yield running

    async def _command(self, *arguments: str) -> list[str]:
        verb, *rest = arguments
        return [*self._base, verb, "--namespace", await self.namespace_name(), *rest]

    async def _run(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        return await self._done(await self._command(*arguments), stdin)

    async def _done(self, command: Sequence[str], stdin: bytes | None = None) -> bytes:
        done = await self._ended(command, stdin)
        if done.code:
            raise explained(f"kubectl {command[len(self._base)]}", done.err)
        return done.out

    async def _ended(self, command: Sequence[str], stdin: bytes | None) -> process.Completed:
        try:
            return await process.run(command, stdin=stdin, timeout=self.timeout)
        except TimeoutError:
            verb = command[len(self._base)]
            raise ReleaseError(
                f"kubectl {verb} had no answer within {self.timeout:g} s; the same command may succeed later",
                retryable=True,
            ) from None
