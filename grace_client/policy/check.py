"""Check manifests against the cluster's rules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from grace_client.core.errors import SpecError
from grace_client.kube.manifests import KubeObject, path_text
from grace_client.policy.rules import RULES, Severity

_ORDER = {severity: place for place, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One field that breaks a rule, with all that a reader needs to correct it.

    Attributes
    ----------
    rule : str
        P1 to P21.
    severity : Severity
        `error`, `warning` or `note`.
    kind, name, namespace : str
        The object; namespace is None if the object names none.
    field : str
        The field's path in the object, such as `spec.template.spec.containers[0].resources.limits.cpu`.
    file : str
        The file, or the chart's template.
    line : int or None
        The line of the field, or of the nearest key above it; None for an object that a chart rendered.
    why, fix : str
        What is wrong, and what to write instead.
    source, reviewed : str
        The page with the rule, and when it was last read.
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
        """The finding as JSON, with the object's kind, name and namespace under `object`."""
        found = asdict(self)
        found["object"] = {key: found.pop(key) for key in ("kind", "name", "namespace")}
        return found


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a check.

    Attributes
    ----------
    objects : int
        How many objects were checked.
    findings : tuple of Finding
        Errors first, then warnings, then notes; each in the order of the objects.
    ignored : tuple of str
        Rules that the user left out.
    """

    objects: int
    findings: tuple[Finding, ...]
    ignored: tuple[str, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many findings there are of one severity."""
        return sum(finding.severity is severity for finding in self.findings)

    def violates(self, *, strict: bool = False) -> bool:
        """Whether a rule is broken. `strict` counts warnings too; notes never count."""
        return self.count(Severity.ERROR) > 0 or (strict and self.count(Severity.WARNING) > 0)

    def summary(self) -> str:
        """The counts in one line."""
        counts = [f"{n} {s}{'s' if n != 1 else ''}" for s in Severity if (n := self.count(s)) or s == "error"]
        objects = f"{self.objects} object{'s' if self.objects != 1 else ''}"
        left_out = f"; not checked: {', '.join(self.ignored)}" if self.ignored else ""
        return f"{', '.join(counts)} in {objects}{left_out}"

    def to_json(self) -> dict[str, object]:
        """The report as JSON."""
        return {
            "objects": self.objects,
            **{f"{severity}s": self.count(severity) for severity in Severity},
            "ignored": list(self.ignored),
            "findings": [finding.to_json() for finding in self.findings],
        }


def check(objects: Sequence[KubeObject], *, ignore: Collection[str] = ()) -> Report:
    """Check objects that are applied together against every rule.

    Parameters
    ----------
    objects : sequence of KubeObject
        All of them, because some rules count over objects.
    ignore : collection of str
        Ids of rules to leave out, for instance because the cluster's administrators granted an exception.

    Raises
    ------
    SpecError
        If no rule has one of these ids.
    """
    known = [rule.id for rule in RULES]
    if strange := sorted(set(ignore) - set(known)):
        raise SpecError(f"--ignore: there is no rule {', '.join(strange)}. Rules: {', '.join(known)}")
    place = {id(item): i for i, item in enumerate(objects)}
    found = [
        (rule, item, fault, fault.severity or rule.severity)
        for rule in RULES
        if rule.id not in ignore
        for item, fault in rule.check(objects)
    ]
    # Sorting is stable: within an object the findings stay in the order of the rules.
    found.sort(key=lambda entry: (_ORDER[entry[3]], place[id(entry[1])]))
    findings = (
        Finding(
            rule=rule.id,
            severity=severity,
            kind=item.kind,
            name=item.name,
            namespace=item.namespace,
            field=path_text(fault.path),
            file=item.file,
            line=item.line(fault.path),
            why=fault.why,
            fix=fault.fix,
            source=rule.source,
            reviewed=rule.reviewed,
        )
        for rule, item, fault, severity in found
    )
    return Report(len(objects), tuple(findings), tuple(id_ for id_ in known if id_ in ignore))
