"""What a campaign does with one model on the cluster: check, install, fetch, uninstall."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from time import monotonic

from grace_client.campaign.model_work import IncompleteError
from grace_client.campaign.records import Campaign, ModelState
from grace_client.campaign.settings import run_id, sets_of, values_of
from grace_client.core.errors import GraceError, ReleaseError, ReleaseTimeoutError
from grace_client.deploy.arguments import experiments
from grace_client.deploy.release import Release
from grace_client.deploy.values import effective
from grace_client.kube.kubectl import Kubectl
from grace_client.policy import check as policy
from grace_client.policy.rules import Severity
from grace_client.transfer.claims import Claims

RESULTS = "results"
VALUES = "values"
LOGS = "logs"
LOG_LINES = 2000
"""Of each container, when its release has failed and is taken away."""


class ModelWork:
    """The work on one model, as it stands in a campaign.

    Parameters
    ----------
    kubectl : Kubectl
        The namespace.
    campaign, model : Campaign, ModelState
        What is run, and on which GPUs.
    folder : Path
        The campaign's own: results go to `results/`, values files to `values/`.
    """

    def __init__(self, kubectl: Kubectl, campaign: Campaign, model: ModelState, folder: Path) -> None:
        self.kubectl, self.campaign, self.model, self.folder = kubectl, campaign, model, folder
        self.values = values_of(campaign.what, model.model, model.overlay, folder / VALUES)
        self.sets = sets_of(campaign, model, self.values)
        self.known = effective(self.values, self.sets)
        self.release = Release(kubectl, self.values, name=model.model, sets=self.sets)

    async def check(self) -> str:
        """Why the cluster's rules do not allow the model; empty where they do."""
        await self.kubectl.namespace_name()
        report = policy.check(await self.release.manifest())
        errors = [finding for finding in report.findings if finding.severity is Severity.ERROR]
        return "\n".join(f"{f.rule} {f.kind}/{f.name} {f.field}: {f.why}. Fix: {f.fix}" for f in errors)

    async def install(self, *, timeout: float) -> str:
        """Install the release; what had to be repaired before."""
        if self.known["weights"]["stage"] == "job":
            # Helm waits for this Job, and it has its own deadline.
            timeout += float(self.known["weights"]["job"]["activeDeadlineSeconds"])
        began = monotonic()
        try:
            return (await self.release.install(timeout=timeout)).repaired
        except ReleaseError as error:
            # Helm's own time that ran out reads like a lost connection, and trying again mends nothing.
            late = monotonic() - began >= timeout and isinstance(error, ReleaseTimeoutError)
            raise ReleaseError(str(error), retryable=error.retryable and not late) from None

    async def installed(self) -> bool:
        """Whether Helm has the release."""
        return await self.release.current() is not None

    async def keep_logs(self) -> str:
        """Write what every container of the release said last into `logs/`; a sentence that says where."""
        # One for each install, however often its end is tried.
        began = f"-{self.model.begun:%Y%m%d-%H%M%S}" if self.model.begun else ""
        folder = self.folder / LOGS / f"{self.model.model}{began}"
        for pod in await self.kubectl.get("pods", selector=self.release.selector):
            name, spec = pod["metadata"]["name"], pod["spec"]
            for container in (*spec.get("initContainers", ()), *spec["containers"]):
                for previous in (True, False):
                    with suppress(GraceError):
                        own = container["name"]
                        said = await self.kubectl.logs(name, own, tail=LOG_LINES, previous=previous)
                        if said:
                            folder.mkdir(parents=True, exist_ok=True)
                            file = folder / f"{name}-{own}{'-previous' if previous else ''}.log"
                            file.write_text(said, encoding="utf-8")
        return f"what its containers said is in {folder}" if folder.exists() else ""

    async def fetch(self) -> tuple[str, ...]:
        """Bring the results home; folders of runs, verified.

        Raises
        ------
        IncompleteError
            Where an experiment's tables are not complete although its Job did not fail.
        """
        if not self.campaign.limits.fetch:
            return ()
        run = run_id(self.campaign, self.model, effective(self.values, self.campaign.what.sets))
        async with Claims.open(self.kubectl, self.values, sets=self.sets) as claims:
            done = await claims.fetch(f"*/{self.model.model}/{run}", self.folder / RESULTS)
        whole = {folder.relative_to(self.folder / RESULTS).parts[0] for folder in done.verified}
        missing = [name for name in experiments(self.known) if name not in whole]
        if missing and not self.model.reason:
            raise IncompleteError(f"the tables of {', '.join(missing)} are not complete on the claim")
        return tuple(str(folder) for folder in (*done.verified, *done.partial))

    async def uninstall(self, *, timeout: float) -> None:
        """Remove the release, and wait until no pod of it is left."""
        # Hooks are no part of a release for helm: a download whose install was given up would go on.
        hooks = f"{self.release.selector},app.kubernetes.io/component in (weights,test)"
        for job in await self.kubectl.get("jobs", selector=hooks):
            await self.kubectl.delete("job", job["metadata"]["name"])
        await self.release.uninstall(timeout=timeout)
