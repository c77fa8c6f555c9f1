"""Checking manifests against the cluster's rules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from grace_client.core.errors import SpecError
from grace_client.kube.manifests import KubeObject, path_text
from grace_client.policy.rules import RULES, Severity

_ORDER = {severity: place for place, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks a rule, with all that a reader needs to mend it.

    Attributes
    ----------
    rule : str
        P1 to P21.
    severity : Severity
        `error`, `warning` or `note`.
    kind, name, namespace : str
        The object; namespace is None where the object names none.
    field : str
        The field's path in the object, such as `spec.template.spec.containers[0].resources.limits.cpu`.
    file : str
        The file, or the chart's template.
    line : int or None
        The field's line, or that of the nearest thing around it; None for what a chart rendered.
    why, fix : str
        What is wrong, and what to write instead.
    source, reviewed : str
        The page that the rule was read on, and when.
    """

    rule: str
    severity: Severity
    kind: str
    name: str
    namespace: str | None
    field: str
    file: str
    line: int | None
    why: str
    fix: str
    source: str
    reviewed: str

    def to_json(self) -> dict[str, object]:
        """The finding as JSON has it."""
        return {
            "rule": self.rule,
            "severity": str(self.severity),
            "object": {"kind": self.kind, "name": self.name, "namespace": self.namespace},
            "field": self.field,
            "file": self.file,
            "line": self.line,
            "why": self.why,
            "fix": self.fix,
            "source": self.source,
            "reviewed": self.reviewed,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What checking found.

    Attributes
    ----------
    objects : int
        How many objects were checked.
    findings : tuple of Finding
        Errors first, then warnings, then notes; each in the order of the objects.
    ignored : tuple of str
        Rules that were left out because somebody said so.
    """

    objects: int
    findings: tuple[Finding, ...]
    ignored: tuple[str, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many findings there are of one severity."""
        return sum(finding.severity is severity for finding in self.findings)

    def violates(self, *, strict: bool = False) -> bool:
        """Whether something is against the rules; `strict` counts warnings too. Notes never do."""
        return self.count(Severity.ERROR) > 0 or (strict and self.count(Severity.WARNING) > 0)

    def summary(self) -> str:
        """One line."""
        counts = [f"{n} {s}{'s' if n != 1 else ''}" for s in Severity if (n := self.count(s)) or s == "error"]
        objects = f"{self.objects} object{'s' if self.objects != 1 else ''}"
        left_out = f"; not checked: {', '.join(self.ignored)}" if self.ignored else ""
        return f"{', '.join(counts)} in {objects}{left_out}"

    def to_json(self) -> dict[str, object]:
        """The report as JSON has it."""
        return {
            "objects": self.objects,
            **{f"{severity}s": self.count(severity) for severity in Severity},
            "ignored": list(self.ignored),
            "findings": [finding.to_json() for finding in self.findings],
        }


def check(manifests: Sequence[KubeObject], *, ignore: Collection[str] = ()) -> Report:
    """Check objects that are to be applied together against every rule.

    Parameters
    ----------
    manifests : sequence of Manifest
        All of them, since some rules count over objects.
    ignore : collection of str
        Ids of rules to leave out, for instance because the cluster's administrators granted an exception.

    Raises
    ------
    SpecError
        For an id that is no rule's.
    """
    known = [rule.id for rule in RULES]
    if strange := sorted(set(ignore) - set(known)):
        raise SpecError(f"there is no rule {', '.join(strange)}; there are {', '.join(known)}")
    place = {id(manifest): i for i, manifest in enumerate(manifests)}
    found = [
        (
            Finding(
                rule=rule.id,
                severity=fault.severity or rule.severity,
                kind=fault.manifest.kind,
                name=fault.manifest.name,
                namespace=fault.manifest.namespace,
                field=path_text(fault.path),
                file=fault.manifest.file,
                line=fault.manifest.line(fault.path),
                why=fault.why,
                fix=fault.fix,
                source=rule.source,
                reviewed=rule.reviewed,
            ),
            place[id(fault.manifest)],
        )
        for rule in RULES
        if rule.id not in ignore
        for fault in rule.check(manifests)
    ]
    # Sorting is stable: within an object the findings stay in the order of the rules.
    found.sort(key=lambda pair: (_ORDER[pair[0].severity], pair[1]))
    ignored = tuple(id_ for id_ in known if id_ in ignore)
    return Report(len(manifests), tuple(finding for finding, _ in found), ignored)
