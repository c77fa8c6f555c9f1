"""The cluster's API through kubectl, which uses the same kubeconfig, context, plugins and proxy as helm.

kubectl and helm give the reason of a failure only as text. Only `explained` reads that text. Everything else
decides by the class of its error, `retryable` and `reason`.
"""

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

from grace_client.core.errors import (
    GraceError,
    ProgramMissingError,
    ReleaseError,
    ReleaseTimeoutError,
    SpecError,
)
from grace_client.kube import process

if TYPE_CHECKING:
    from asyncio.subprocess import Process

Json = dict[str, Any]

WARNINGS = 5
"""Number of the latest warnings in a message."""
ALREADY_EXISTS, CONFLICT, NOT_FOUND = "AlreadyExists", "Conflict", "NotFound"
"""Reasons of the API for a refusal, as in `ReleaseError.reason`."""

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
# The API server knows the user, but a node or a webhook behind it failed or refused. A login does not help.
_BEHIND_API = re.compile(
    r"Error from server[^\n]*x509|failed calling webhook|\(\s*(pods|nodes)/(log|exec|attach|proxy)"
    r"|subresource=proxy|unable to upgrade connection|error dialing backend|:10250/",
    re.IGNORECASE,
)
# A login plugin failed because it has no network.
_PLUGIN = re.compile(r"getting credentials", re.IGNORECASE)
_NETWORK = re.compile(
    r"dial (tcp|udp)|no such host|i/o timeout|connection (refused|reset)|network is unreachable"
    r"|name resolution|context deadline exceeded",
    re.IGNORECASE,
)
_REASON = re.compile(rf"Error from server \(({ALREADY_EXISTS}|{CONFLICT}|{NOT_FOUND})\)")
_TIMEOUT = re.compile(r"timed out|deadline exceeded|context canceled", re.IGNORECASE)
_NO_LOG = re.compile(
    r"is waiting to start|previous terminated container|ContainerCreating|PodInitializing"
    r"|is not valid for pod",
    re.IGNORECASE,
)
_NOISE = re.compile(r"[EWI]\d{4} |level=|WARNING: |Warning: ")


def complaint(stderr: bytes) -> str:
    """Why a program failed: its stderr without log lines, or with them if it has no other lines."""
    lines = [line.rstrip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return "\n".join([line for line in lines if not _NOISE.match(line.lstrip())] or lines)


def explained(program: str, stderr: bytes) -> GraceError:
    """The error for a failure of kubectl or helm.

    If the API does not answer, a `ReleaseError` that is retryable. If the API does not know the user or
    refuses, a `SpecError`. Otherwise a `ReleaseError` that is not retryable, with the API's `reason` if there
    is one. A timeout is a `ReleaseTimeoutError`.
    """
    text = complaint(stderr) or "it gave no reason"
    if reason := _REASON.search(text):
        return ReleaseError(f"{program}: {text}", reason=reason[1])
    kind = ReleaseTimeoutError if _TIMEOUT.search(text) else ReleaseError
    if _BEHIND_API.search(text):
        return kind(
            f"{program}: {text}\nA node or a webhook did not answer the cluster's API. The same command may "
            "succeed later",
            retryable=True,
        )
    # Helm and kubectl wrap a refusal in words that sound like a lost connection; the refusal counts.
    if _LOGIN.search(text) and not (_PLUGIN.search(text) and _NETWORK.search(text)):
        return SpecError(
            f"{program}: {text}\nThe cluster does not know you with this configuration. Look at 'kubectl "
            "config get-contexts' and log in, or use --kubeconfig and --context"
        )
    if _FORBIDDEN.search(text):
        return SpecError(
            f"{program}: {text}\nThe cluster refuses this. 'kubectl auth can-i --list' lists your rights; an "
            "administrator of the namespace can give you more"
        )
    if _AWAY.search(text):
        return kind(
            f"{program}: {text}\nThe cluster's API did not answer. The same command may succeed later",
            retryable=True,
        )
    return kind(f"{program}: {text}")


def instance_selector(release: str) -> str:
    """Selects every object and pod of a release."""
    return f"app.kubernetes.io/instance={release}"


def _not_found(error: GraceError) -> bool:
    return isinstance(error, ReleaseError) and error.reason == NOT_FOUND


def _state(pod: Json) -> str:
    """A pod's phase, and why its containers wait or how they ended."""
    status = pod["status"]
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    notes = []
    for container in containers:
        for state in container.get("state", {}), container.get("lastState", {}):
            if reason := next((one["reason"] for one in state.values() if one.get("reason")), None):
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
    ProgramMissingError
        If kubectl is not on the PATH.
    SpecError
        From any call, if the cluster does not know the user or does not allow the call.
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
            raise ProgramMissingError(
                "kubectl is not on the PATH, and grace needs it to use a cluster. Install it: "
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
            view = ["config", "view", "--minify", "--output", "jsonpath={..namespace}"]
            found = await self._done([*self._base, *view])
            self.namespace = found.decode().strip() or "default"
        return self.namespace

    async def get(self, kind: str, *, selector: str = "", names: Sequence[str] = ()) -> list[Json]:
        """Objects of a kind, or of several (`pods,jobs`); those of `names` that exist, or all.

        kubectl does not take a selector together with names.
        """
        if selector and names:
            raise ValueError("either a selector or names")
        only = ["--selector", selector] if selector else []
        options = ["--ignore-not-found", "--output", "json"]
        printed = await self._run("get", kind, *names, *only, *options)
        if not printed.strip():
            return []
        found: Json = json.loads(printed)
        items: list[Json] = found["items"] if found.get("kind") == "List" else [found]
        return items

    async def apply(self, *objects: Json) -> None:
        """Create objects, or change them to these (server-side, as field manager `grace`)."""
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode()
        options = ["--server-side", "--field-manager", "grace", "--force-conflicts"]
        await self._run("apply", *options, "--filename", "-", stdin=document)

    async def create(self, item: Json) -> bool:
        """Create an object; False if one of that name exists already."""
        try:
            await self._run("create", "--filename", "-", stdin=json.dumps(item).encode())
        except ReleaseError as error:
            if error.reason != ALREADY_EXISTS:
                raise
            return False
        return True

    async def time(self) -> datetime:
        """The cluster's time, to the second, from an object that it does not really create."""
        item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "grace-time"}}
        options = ["--dry-run=server", "--output", "json", "--filename", "-"]
        printed = await self._run("create", *options, stdin=json.dumps(item).encode())
        return datetime.fromisoformat(json.loads(printed)["metadata"]["creationTimestamp"])

    async def patch(self, kind: str, name: str, patch: Json) -> None:
        """Merge a patch into an object; null deletes."""
        # Not in the command line, which has at most 128 KiB and is visible to others. Not in standard input:
        # kubectl cannot open /dev/stdin if it is a socket, as in some versions of Python.
        with tempfile.NamedTemporaryFile("w", prefix="grace-", suffix=".json", encoding="utf-8") as file:
            json.dump(patch, file)
            file.flush()
            await self._run("patch", kind, name, "--type", "merge", "--patch-file", file.name)

    async def delete(self, kind: str, name: str, *, wait: bool = False, grace: int | None = None) -> None:
        """Delete an object, if it exists.

        Parameters
        ----------
        kind, name : str
            Kind and name of the object.
        wait : bool
            Whether to wait until it is gone, with everything that it owns.
        grace : int or None
            Seconds that its pods have to end; None for their own setting.
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
        if done.code and not _not_found(error := explained("kubectl wait", done.err)):
            raise TimeoutError if b"timed out waiting" in done.err else error

    async def logs(self, pod: str, container: str, *, tail: int = 40, previous: bool = False) -> str:
        """The last lines of a container's log; empty if there are none, or no such pod."""
        options = [f"--tail={tail}", f"--previous={str(previous).lower()}"]
        command = await self._command("logs", pod, "--container", container, *options)
        done = await self._ended(command, None)
        if not done.code:
            return done.out.decode(errors="replace")
        error = explained("kubectl logs", done.err)
        if _not_found(error) or _NO_LOG.search(complaint(done.err)):
            return ""
        raise error

    async def states(self, selector: str) -> str:
        """The pods' states and their latest warnings, for a message; empty if the API does not answer."""
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
        """A kubectl that keeps running, such as `exec` or `get --watch`; leaving the block ends it."""
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
            raise ReleaseTimeoutError(
                f"kubectl {verb} had no answer within {self.timeout:g} s. The same command may succeed later",
                retryable=True,
            ) from None
