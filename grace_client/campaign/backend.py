"""What a campaign does with one model on the cluster: check, install, fetch, uninstall."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from time import monotonic

from grace_client.campaign.failures import ResultsIncompleteError
from grace_client.campaign.records import Campaign, ModelState
from grace_client.campaign.settings import run_id, sets_of, values_of
from grace_client.core.errors import GraceError, ReleaseTimeoutError
from grace_client.deploy.release import Release
from grace_client.deploy.study import experiments
from grace_client.deploy.values import effective
from grace_client.kube.kubectl import Kubectl
from grace_client.policy.check import check
from grace_client.policy.rules import Severity
from grace_client.transfer.claims import Claims

RESULTS = "results"
VALUES = "values"
LOGS = "logs"
LOG_LINES = 2000
"""Lines to keep of each container's log when a release has failed."""


class Backend:
    """The work on one model of a campaign.

    Parameters
    ----------
    kubectl : Kubectl
        The namespace.
    campaign, model : Campaign, ModelState
        The campaign, and its model on the GPUs in use.
    folder : Path
        The campaign's folder: results go to `results/`, values files to `values/`, logs to `logs/`.
    """

    def __init__(self, kubectl: Kubectl, campaign: Campaign, model: ModelState, folder: Path) -> None:
        self.kubectl, self.campaign, self.model, self.folder = kubectl, campaign, model, folder
        self.values = values_of(campaign.spec, model.model, model.overlay, folder / VALUES)
        self.sets = sets_of(campaign, model, self.values)
        self.known = effective(self.values, self.sets)
        self.release = Release(kubectl, self.values, name=model.model, sets=self.sets)

    async def check(self) -> str:
        """Why the cluster's rules refuse the model; empty if they allow it.

        Raises
        ------
        SpecError
            If the model cannot be rendered.
        """
        await self.kubectl.namespace_name()
        findings = check(await self.release.manifest()).findings
        errors = [finding for finding in findings if finding.severity is Severity.ERROR]
        return "\n".join(f"{f.rule} {f.kind}/{f.name} {f.field}: {f.why}. Fix: {f.fix}" for f in errors)

    async def install(self, *, timeout: float) -> str:
        """Install the release; what was repaired before. An install that took too long is not retryable."""
        if self.known["weights"]["stage"] == "job":
            # Helm waits for this Job, and it has its own deadline.
            timeout += float(self.known["weights"]["job"]["activeDeadlineSeconds"])
        began = monotonic()
        try:
            return (await self.release.install(timeout=timeout)).repaired
        except ReleaseTimeoutError as error:
            # A timeout before Helm's own is a lost connection, and may pass.
            early = monotonic() - began < timeout
            raise ReleaseTimeoutError(str(error), retryable=error.retryable and early) from None

    async def installed(self) -> bool:
        """Whether Helm has the release."""
        return await self.release.current() is not None

    async def keep_logs(self) -> str:
        """Write the last lines of every container to `logs/`; a note that says where, or nothing."""
        # One folder for each install, however often its end is tried.
        began = f"-{self.model.begun:%Y%m%d-%H%M%S}" if self.model.begun else ""
        folder = self.folder / LOGS / f"{self.model.model}{began}"
        for pod in await self.kubectl.get("pods", selector=self.release.selector):
            name, spec = pod["metadata"]["name"], pod["spec"]
            for container in (*spec.get("initContainers", ()), *spec["containers"]):
                for suffix in ("-previous", ""):
                    with suppress(GraceError):
                        own = container["name"]
                        previous = bool(suffix)
                        log = await self.kubectl.logs(name, own, tail=LOG_LINES, previous=previous)
                        if log:
                            folder.mkdir(parents=True, exist_ok=True)
                            (folder / f"{name}-{own}{suffix}.log").write_text(log, encoding="utf-8")
        return f"the logs of its containers are in {folder}" if folder.exists() else ""

    async def fetch(self) -> tuple[str, ...]:
        """Fetch the results; folders of runs, verified.

        Raises
        ------
        ResultsIncompleteError
            If an experiment's tables are not complete although its Job did not fail.
        """
        if not self.campaign.limits.fetch:
            return ()
        run = run_id(self.campaign, self.model, effective(self.values, {}))
        async with Claims.open(self.kubectl, self.values, sets=self.sets) as claims:
            done = await claims.fetch(f"*/{self.model.model}/{run}", self.folder / RESULTS)
        complete = {folder.relative_to(self.folder / RESULTS).parts[0] for folder in done.verified}
        missing = [name for name in experiments(self.known) if name not in complete]
        if missing and not self.model.reason:
            raise ResultsIncompleteError(
                f"the runs of {', '.join(missing)} on the claim have no complete tables"
            )
        return tuple(str(folder) for folder in (*done.verified, *done.partial))

    async def uninstall(self, *, timeout: float) -> None:
        """Remove the release, and wait until no pod of it is left."""
        # Helm does not count hooks as part of a release: a download whose install was given up would go on.
        hooks = f"{self.release.selector},app.kubernetes.io/component in (weights,test)"
        for job in await self.kubectl.get("jobs", selector=hooks):
            await self.kubectl.delete("job", job["metadata"]["name"])
        await self.release.uninstall(timeout=timeout)
