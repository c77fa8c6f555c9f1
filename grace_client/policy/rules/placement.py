"""Rules on the nodes of a pod, and on the secrets that it shows: P14, P15, P17."""

from __future__ import annotations

from collections.abc import Iterator

from grace_client.kube.manifests import FieldPath, KubeObject, mapping, sequence
from grace_client.policy import secrets
from grace_client.policy.rules.base import POLICIES, PRIORITIES, TAINTS, Fault, Severity, rule

PRIORITY_CLASSES = ("armada-default", "owner-no-preempt", "opportunistic", "opportunistic2")
TOLERABLE = "nautilus.io/hardware"
# Kubernetes itself writes these into every pod, with a time.
_BY_KUBERNETES = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


@rule(
    "P14",
    Severity.ERROR,
    PRIORITIES,
    f"The priority class is unset or one of {', '.join(PRIORITY_CLASSES)}.",
)
def allowed_priorities(item: KubeObject) -> Iterator[Fault]:
    """A pod has a priority class of users, or none."""
    priority = item.pod.spec.get("priorityClassName")
    if priority and priority not in PRIORITY_CLASSES:
        yield Fault(
            (*item.pod.path, "priorityClassName"),
            f"priority class {priority} is refused in users' namespaces",
            f"leave priorityClassName out, or set one of {', '.join(PRIORITY_CLASSES)}; the cluster can "
            "preempt pods of the two opportunistic ones at any time",
        )


@rule(
    "P15",
    Severity.ERROR,
    TAINTS,
    f"Only {TOLERABLE} is tolerated; the cluster handles the taints of GPU nodes.",
)
def few_tolerations(item: KubeObject) -> Iterator[Fault]:
    """A pod tolerates only the taint that users may tolerate."""
    for i, toleration in enumerate(sequence(item.pod.spec.get("tolerations"))):
        key = mapping(toleration).get("key")
        own = key in _BY_KUBERNETES and mapping(toleration).get("tolerationSeconds") is not None
        if key != TOLERABLE and not own:
            yield Fault(
                (*item.pod.path, "tolerations", i),
                f"tolerates {key or 'every taint'}; such taints reserve nodes for others",
                f"remove it; only {TOLERABLE} may be tolerated, and the cluster itself lets pods that ask "
                "for a GPU onto GPU nodes",
            )


@rule(
    "P17",
    Severity.ERROR,
    POLICIES,
    "Tokens, keys and passwords come from Secrets; none is in an environment variable, a command or a "
    "ConfigMap.",
    "The check finds known shapes of tokens, and literals under names that end in TOKEN, API_KEY, PASSWORD "
    "and the like.",
)
def no_literal_secrets(item: KubeObject) -> Iterator[Fault]:
    """No object but a Secret shows one: others can read it."""
    for path, place, kind in _literals(item):
        yield Fault(
            path,
            f"{place} {kind}, readable by others",
            "put it into a Secret (kubectl create secret generic NAME --from-literal=KEY=…) and refer to it "
            "with valueFrom.secretKeyRef, or mount it as a file; then revoke the one in this manifest",
        )


def _literals(item: KubeObject) -> Iterator[tuple[FieldPath, str, str]]:
    """Secrets that are written out: their path, the place in words with its verb, and the kind of secret."""
    for container in item.pod.containers:
        for i, variable in enumerate(sequence(container.body.get("env"))):
            name, value = mapping(variable).get("name"), mapping(variable).get("value")
            if value is not None and (kind := secrets.in_variable(str(name), str(value))):
                yield (*container.path, "env", i, "value"), f"{container.name}: {name} holds", kind
        for key in ("command", "args"):
            words = [str(word) for word in sequence(container.body.get(key))]
            for i, kind in secrets.in_words(words):
                yield (*container.path, key, i), f"{container.name}: the {key} hold", kind
    data = item.body.get("data") if item.kind == "ConfigMap" else None
    for name, value in mapping(data).items():
        # A file is judged by its shapes only; a single value also by its name.
        text = str(value)
        found = secrets.shape_of_secret(text) if "\n" in text else secrets.in_variable(str(name), text)
        if found:
            yield ("data", str(name)), f"{name} holds", found
