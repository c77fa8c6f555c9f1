"""Rules on where a pod goes and what it shows of itself: P14, P15, P17."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from grace_client.kube.manifests import KubeObject, mapping, sequence
from grace_client.policy import secrets
from grace_client.policy.rules.base import POLICIES, PRIORITIES, TAINTS, Fault, Rule, Severity

PRIORITY_CLASSES = ("armada-default", "owner-no-preempt", "opportunistic", "opportunistic2")
TOLERABLE = "nautilus.io/hardware"
# Kubernetes itself writes these into every pod, with a time.
_BY_KUBERNETES = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def allowed_priorities(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P14."""
    for manifest in manifests:
        priority = manifest.pod.spec.get("priorityClassName") if manifest.pod else None
        if manifest.pod and priority and priority not in PRIORITY_CLASSES:
            yield Fault(
                manifest,
                (*manifest.pod.path, "priorityClassName"),
                f"priority class {priority} is refused in users' namespaces",
                f"leave priorityClassName out, or set one of {', '.join(PRIORITY_CLASSES)}; pods of the two "
                "opportunistic ones can be preempted at any time",
            )


def few_tolerations(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P15."""
    for manifest in manifests:
        for i, toleration in enumerate(
            sequence(manifest.pod.spec.get("tolerations")) if manifest.pod else ()
        ):
            key = mapping(toleration).get("key")
            own = key in _BY_KUBERNETES and mapping(toleration).get("tolerationSeconds") is not None
            if manifest.pod is None or key == TOLERABLE or own:
                continue
            yield Fault(
                manifest,
                (*manifest.pod.path, "tolerations", i),
                f"tolerates {key or 'every taint'}, which keeps users' pods off nodes for a reason",
                f"remove it; only {TOLERABLE} may be tolerated, and the cluster itself lets pods that ask "
                "for a GPU onto GPU nodes",
            )


def no_literal_secrets(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P17. Secrets themselves may hold them, everything else is read by others."""
    fix = (
        "put it into a Secret (kubectl create secret generic NAME --from-literal=KEY=…) and refer to it with "
        "valueFrom.secretKeyRef, or mount it as a file; then revoke the one that was written here"
    )
    for manifest in manifests:
        for container in manifest.pod.containers if manifest.pod else ():
            for i, variable in enumerate(sequence(container.body.get("env"))):
                name, value = mapping(variable).get("name"), mapping(variable).get("value")
                if value is not None and (what := secrets.in_variable(str(name), str(value))):
                    path = (*container.path, "env", i, "value")
                    yield Fault(
                        manifest, path, f"{container.name}: {name} holds {what}, readable by others", fix
                    )
            for key in ("command", "args"):
                words = [str(word) for word in sequence(container.body.get(key))]
                for i, what in secrets.in_words(words):
                    path = (*container.path, key, i)
                    yield Fault(
                        manifest, path, f"{container.name}: the {key} hold {what}, readable by others", fix
                    )
        if manifest.kind == "ConfigMap":
            for name, value in mapping(manifest.body.get("data")).items():
                # A file is judged by its shapes only; a single value also by its name.
                text = str(value)
                what = secrets.shape_of_secret(text) if "\n" in text else secrets.in_variable(str(name), text)
                if what:
                    yield Fault(
                        manifest, ("data", str(name)), f"{name} holds {what}, readable by others", fix
                    )


RULES = (
    Rule(
        "P14",
        Severity.ERROR,
        f"The priority class is unset or one of {', '.join(PRIORITY_CLASSES)}.",
        PRIORITIES,
        allowed_priorities,
    ),
    Rule(
        "P15",
        Severity.ERROR,
        f"Only {TOLERABLE} is tolerated; the cluster handles the taints of GPU nodes.",
        TAINTS,
        few_tolerations,
    ),
    Rule(
        "P17",
        Severity.ERROR,
        "Tokens, keys and passwords come from Secrets; none stands in an environment variable, a command or "
        "a ConfigMap.",
        POLICIES,
        no_literal_secrets,
        "Found are known shapes of tokens, and literals under names that end in TOKEN, API_KEY, PASSWORD and "
        "the like.",
    ),
)
