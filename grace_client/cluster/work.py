"""What a campaign does with one model on the cluster: check, install, fetch, uninstall."""

from __future__ import annotations

from pathlib import Path

from grace_client.cluster import policy
from grace_client.cluster.kubectl import Kubectl
from grace_client.cluster.records import Campaign, ModelState
from grace_client.cluster.release import Release
from grace_client.cluster.results import Results
from grace_client.cluster.rules import Severity
from grace_client.cluster.settings import effective, experiments, run_id, sets_of, values_of
from grace_client.errors import ReleaseError

RESULTS = "results"
VALUES = "values"


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
        self.values = values_of(campaign.what, model.model, campaign.overlay(model), folder / VALUES)
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
        return (await self.release.install(timeout=timeout)).repaired

    async def fetch(self) -> tuple[str, ...]:
        """Bring the results home; folders of runs, verified.

        Raises
        ------
        ReleaseError
            Where an experiment's tables are not complete although its Job did not fail.
        """
        if not self.campaign.limits.fetch:
            return ()
        run = run_id(self.campaign, self.model, effective(self.values, self.campaign.what.sets))
        async with Results.open(self.kubectl, self.values, sets=self.sets) as results:
            done = await results.fetch(f"*/{self.model.model}/{run}", self.folder / RESULTS)
        whole = {folder.relative_to(self.folder / RESULTS).parts[0] for folder in done.verified}
        missing = [name for name in experiments(self.known) if name not in whole]
        if missing and not self.model.reason:
            raise ReleaseError(f"the tables of {', '.join(missing)} are not complete on the claim")
        return tuple(str(folder) for folder in (*done.verified, *done.partial))

    async def uninstall(self, *, timeout: float) -> None:
        """Remove the release, and wait until no pod of it is left."""
        # Hooks are no part of a release for helm: a download whose install was given up would go on.
        hooks = f"{self.release.selector},app.kubernetes.io/component in (weights,test)"
        for job in await self.kubectl.get("jobs", selector=hooks):
            await self.kubectl.delete("job", job["metadata"]["name"])
        await self.release.uninstall(timeout=timeout)
