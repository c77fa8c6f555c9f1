"""One Helm release of the chart: install it, look at it, and uninstall it with every pod."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grace_client.core.errors import ReleaseError, ReleaseTimeoutError, SpecError
from grace_client.deploy.values import ModelValues, chart_folder, described, document
from grace_client.kube import helm
from grace_client.kube.kubectl import Json, Kubectl, complaint, explained, instance_selector

try:
    from pyhelm3 import Client, Command
    from pyhelm3.errors import ReleaseNotFoundError
except ImportError:
    raise SpecError("Releases need the package pyhelm3. Run: pip install 'grace-client[cluster]'") from None

if TYPE_CHECKING:
    from grace_client.kube.manifests import KubeObject

CHART = "grace"
MARGIN_S = 15
"""Seconds after helm's own timeout until grace ends helm."""

_REFUSED = re.compile(
    r"execution error at|meet the specifications of the schema|failed to parse", re.IGNORECASE
)
_ROLES = re.compile(
    r"\b(?:roles|rolebindings|serviceaccounts)\b.*forbidden|grant(?:ing)? RBAC permissions", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Revision:
    """A release as Helm has it.

    Attributes
    ----------
    number : int
        Number of installations, upgrades and rollbacks so far.
    status : str
        Helm's status: `deployed`, `failed`, `pending-install`, `pending-upgrade`, `pending-rollback`,
        `uninstalling`.
    updated : datetime
        When it reached this status.
    repaired : str
        A sentence about a repair before this revision; empty if there was none.
    """

    number: int
    status: str
    updated: datetime
    repaired: str = ""


class Helm(Command):  # type: ignore[misc]
    """pyhelm3's command lines, run without a shell and with grace's errors.

    With a shell, ending a call would end only the shell, and helm would go on.
    """

    def __init__(self, kubectl: Kubectl, limit: float) -> None:
        super().__init__(
            executable=helm.program(), kubeconfig=kubectl.kubeconfig, kubecontext=kubectl.context
        )
        self._limit = limit

    async def run(self, command: Sequence[object], input: bytes | None = None) -> bytes:
        """The output of helm; raises ReleaseNotFoundError, or the error of `explained`."""
        verb = f"helm {command[0]}"
        line = [str(word) for word in command]
        if self._kubeconfig:
            line += ["--kubeconfig", str(self._kubeconfig)]
        if self._kubecontext:
            line += ["--kube-context", self._kubecontext]
        done = await helm.call(line, stdin=input, timeout=self._limit)
        if not done.code:
            return done.out
        why = complaint(done.err)
        if "release: not found" in why:
            raise ReleaseNotFoundError(done.code, done.out, done.err)
        if _REFUSED.search(why):
            raise SpecError(f"{verb}: {why}")
        if _ROLES.search(why):
            raise SpecError(
                f"{verb}: {why}\nYou may not create Roles in this namespace. A server that stops by itself "
                "needs one. Set autoStop to false and uninstall the release yourself when its Jobs have "
                "ended (grace campaign does that), or set server.kind to Job: its pod ends by itself and "
                "frees its GPUs"
            )
        raise explained(verb, done.err)


class Release:
    """One release of the chart in the namespace of `kubectl`.

    Parameters
    ----------
    kubectl : Kubectl
        The cluster.
    values : ModelValues
        What to install: the model's file and the overlays on it.
    name : str or None
        The release's name; None for the model's.
    chart : Path or None
        The chart; None for the one in grace.
    sets : mapping
        Values that win over the files, by dotted key (`queries.runId`).
    """

    def __init__(
        self,
        kubectl: Kubectl,
        values: ModelValues,
        *,
        name: str | None = None,
        chart: Path | None = None,
        sets: Mapping[str, Any] | None = None,
    ) -> None:
        self.kubectl, self.values = kubectl, values
        self.name = name or values.name
        self.chart = chart or chart_folder()
        self.document = document(values, sets or {})

    @property
    def selector(self) -> str:
        """Selects every object and pod of the release."""
        return instance_selector(self.name)

    async def install(self, *, timeout: float) -> Revision:
        """Install the release, or change it to these values; returns when the cluster has the objects.

        It first repairs a release that a killed helm left unfinished. It waits for no server or Job, because
        a free GPU may take hours; it waits only for a download in a Job of its own (`weights.stage: job`). If
        there are new Jobs, it starts a server again that was stopped after its Jobs (`autoStop`).

        Raises
        ------
        SpecError
            If the chart, the cluster's rules or the user's rights do not allow it.
        ReleaseError
            If it takes longer than `timeout` seconds, with the pods' states; retryable if the API does not
            answer.
        """
        repaired = await self._repair(timeout)
        command = Helm(self.kubectl, timeout + MARGIN_S)
        client = await asyncio.to_thread(Client, command, executable=helm.program())
        # A server-side apply must win over the Job that scaled the server to zero; Helm 3 always wins.
        modern = {"server_side": "true", "force_conflicts": True} if client.version.major >= 4 else {}
        try:
            found = await client.install_or_upgrade_release(
                self.name,
                await client.get_chart(self.chart),
                self.document,
                create_namespace=False,
                namespace=await self.kubectl.namespace_name(),
                timeout=_seconds(timeout),
                **modern,
            )
        except ReleaseError as error:
            raise await self._with_states(error) from None
        return Revision(found.revision, found.status.value, found.updated, repaired)

    async def uninstall(self, *, timeout: float) -> None:
        """Remove the release, if there is one, and wait until no pod of it is left; claims stay.

        Raises
        ------
        ReleaseError
            If pods are left after `timeout` seconds, with their states; retryable.
        """
        ends = time.monotonic() + timeout
        command = ["uninstall", self.name, "--namespace", await self.kubectl.namespace_name()]
        command += ["--cascade", "foreground", "--wait", "--timeout", _seconds(timeout)]
        try:
            await Helm(self.kubectl, timeout + MARGIN_S).run(command)
        except ReleaseNotFoundError:
            pass
        except ReleaseError as error:
            error.retryable |= isinstance(error, ReleaseTimeoutError)
            raise await self._with_states(error) from None
        while pods := await self.kubectl.get("pods", selector=self.selector):
            names = [pod["metadata"]["name"] for pod in pods]
            try:
                await self.kubectl.gone("pods", names, timeout=max(1.0, ends - time.monotonic()))
            except TimeoutError:
                left = ReleaseTimeoutError(
                    f"{self.name} is uninstalled, but it still has pods after {timeout:g} s: "
                    f"{', '.join(names)}. Their node may be gone. Look: kubectl describe pod {names[0]}",
                    retryable=True,
                )
                raise await self._with_states(left) from None

    async def current(self) -> Revision | None:
        """The installed revision; None if there is none."""
        command = Helm(self.kubectl, self.kubectl.timeout)
        try:
            status: Json = await command.status(self.name, namespace=await self.kubectl.namespace_name())
        except ReleaseNotFoundError:
            return None
        info = status["info"]
        if info["status"] == "uninstalled":
            return None
        return Revision(status["version"], info["status"], datetime.fromisoformat(info["last_deployed"]))

    async def manifest(self) -> list[KubeObject]:
        """The objects that `install` would create, for `policy.check`; asks no cluster."""
        return await helm.template(
            self.chart,
            document=self.document,
            release=self.name,
            namespace=self.kubectl.namespace or "grace",
        )

    async def _repair(self, timeout: float) -> str:
        found = await self.current()
        if found is None or found.status in ("deployed", "failed", "superseded", "unknown"):
            return ""
        what = f"a helm process ended early and left release {self.name} {found.status}"
        if found.status in ("pending-upgrade", "pending-rollback"):
            command = ["rollback", self.name, "--namespace", await self.kubectl.namespace_name()]
            try:
                await Helm(self.kubectl, timeout + MARGIN_S).run([*command, "--timeout", _seconds(timeout)])
            except ReleaseError as error:
                if error.retryable:
                    raise
            else:
                return f"{what}; it was rolled back first"
        await self.uninstall(timeout=timeout)
        return f"{what}; it was uninstalled first"

    async def _with_states(self, error: ReleaseError) -> ReleaseError:
        states = await self.kubectl.states(self.selector)
        error.args = (f"{error}\n{states}".strip(),)
        return error


async def installed_values(kubectl: Kubectl, name: str) -> ModelValues:
    """The values with which a release was installed; SpecError if there is no such release."""
    namespace = await kubectl.namespace_name()
    try:
        found = await Helm(kubectl, kubectl.timeout).get_values(name, namespace=namespace)
    except ReleaseNotFoundError:
        there = ", ".join(await releases(kubectl)) or "none"
        raise SpecError(
            f"There is no release {name} in namespace {namespace} (releases: {there}). If it is uninstalled "
            "already, use its values: --values values/MODEL.yaml"
        ) from None
    return ModelValues.model_validate(described(found)).model_copy(update={"values": found})


async def releases(kubectl: Kubectl) -> list[str]:
    """Names of the chart's releases in the namespace, in any state, sorted."""
    command = Helm(kubectl, kubectl.timeout)
    # Helm 3 lists only deployed releases without --all; Helm 4 lists all unless states are named.
    options = {"all": (await asyncio.to_thread(command.client_version)).major < 4, "include_deployed": False}
    found = await command.list(namespace=await kubectl.namespace_name(), **options)
    return sorted(entry["name"] for entry in found if entry["chart"].rpartition("-")[0] == CHART)


def _seconds(timeout: float) -> str:
    return f"{max(1, round(timeout))}s"
