"""Kubernetes manifests: the objects of a YAML stream, the lines of their fields, and the pods they create."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeAlias

import yaml

from grace_client.core.errors import SpecError
from grace_client.kube.quantities import QuantityError, quantity

FieldPath: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from an object's root to one of its fields."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SOURCE = re.compile(r"^# Source: (\S+)", re.MULTILINE)
_POD = {
    "Pod": (),
    "PodTemplate": ("template",),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"),
        ("spec", "template"),
    ),
}
"""The path of the pod's metadata and spec in each kind."""


def mapping(value: object) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one: `resources: null` counts as none."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def path_text(path: FieldPath) -> str:
    """Such as `spec.containers[0].image` or `spec.nodeSelector["kubernetes.io/arch"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"\w+", step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


@dataclass(frozen=True)
class ContainerSpec:
    """One container of a pod.

    Attributes
    ----------
    role : str
        `container`, `init container`, `sidecar` (an init container that keeps running) or
        `ephemeral container`.
    path : tuple
        Its path in the object.
    body : dict
        The container itself.
    """

    role: str
    path: FieldPath
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """As a message calls it."""
        return f"{self.role} {self.body.get('name', '(no name)')}"

    def stated(self, which: str, resource: str) -> object:
        """The value under `limits` or `requests`; None if there is none."""
        return mapping(mapping(self.body.get("resources")).get(which)).get(resource)

    def amount(self, resource: str) -> Fraction:
        """The larger of limit and request; 0 if neither is a quantity."""
        found = [_amount(self.stated(which, resource)) for which in ("limits", "requests")]
        return max((amount for amount in found if amount is not None), default=Fraction(0))

    def request(self, resource: str) -> Fraction:
        """The request, or without one the limit, as Kubernetes does it; 0 without either."""
        request = _amount(self.stated("requests", resource))
        return (_amount(self.stated("limits", resource)) or Fraction(0)) if request is None else request

    def resources(self) -> Iterator[tuple[str, str]]:
        """All pairs of `limits` or `requests` and the resource's name."""
        for which in ("limits", "requests"):
            for resource in mapping(mapping(self.body.get("resources")).get(which)):
                yield which, str(resource)

    def gpus(self) -> dict[str, Fraction]:
        """Devices of each GPU resource; 0 entries are left out."""
        names = {
            name for _, name in self.resources() if name.startswith("nvidia.com/") or name == "amd.com/gpu"
        }
        return {name: count for name in sorted(names) if (count := self.amount(name))}

    @property
    def command_path(self) -> FieldPath:
        """The path of its command, or of its arguments if it has no command."""
        return (*self.path, "command" if self.body.get("command") else "args")

    @cached_property
    def command(self) -> list[str]:
        """Command and arguments as words."""
        return [str(w) for key in ("command", "args") for w in sequence(self.body.get(key)) if w is not None]


def _amount(value: object) -> Fraction | None:
    if value is None:
        return None
    try:
        return quantity(value)
    except QuantityError:
        return None


@dataclass(frozen=True)
class PodSpec:
    """A pod, or the template from which an object creates its pods."""

    path: FieldPath
    spec: dict[str, Any]

    @cached_property
    def containers(self) -> list[ContainerSpec]:
        """All containers: init containers, sidecars, containers, ephemeral ones."""
        found = []
        for key, role in (
            ("initContainers", "init container"),
            ("containers", "container"),
            ("ephemeralContainers", "ephemeral container"),
        ):
            for i, body in enumerate(sequence(self.spec.get(key))):
                if isinstance(body, dict):
                    sidecar = key == "initContainers" and body.get("restartPolicy") == "Always"
                    found.append(ContainerSpec("sidecar" if sidecar else role, (*self.path, key, i), body))
        return found

    def total(self, amounts: Iterable[tuple[ContainerSpec, Fraction]]) -> Fraction:
        """The largest amount that the whole pod uses at one time, as the scheduler counts it.

        Containers and sidecars run side by side; init containers run one after another, each beside the
        sidecars before it.
        """
        beside = running = largest = Fraction(0)
        for container, amount in amounts:
            if container.role == "init container":
                largest = max(largest, beside + amount)
            elif container.role == "sidecar":
                beside += amount
                largest = max(largest, beside)
            else:
                running += amount
        return max(largest, running + beside)

    def amount(self, resource: str) -> Fraction:
        """The pod's sum of a resource, each container by the larger of its limit and request."""
        return self.total((container, container.amount(resource)) for container in self.containers)

    def request(self, resource: str) -> Fraction:
        """The pod's sum of requests of a resource."""
        return self.total((container, container.request(resource)) for container in self.containers)

    @property
    def gpus(self) -> int:
        """The largest number of GPUs, of all kinds, that the pod uses at one time."""
        return int(self.total((c, sum(c.gpus().values(), Fraction(0))) for c in self.containers))

    def volumes(self) -> Iterator[tuple[FieldPath, dict[str, Any]]]:
        """The pod's volumes, each after its path."""
        for i, volume in enumerate(sequence(self.spec.get("volumes"))):
            if isinstance(volume, dict):
                yield (*self.path, "volumes", i), volume


@dataclass(frozen=True)
class KubeObject:
    """One object of a YAML stream.

    Attributes
    ----------
    body : dict
        The object.
    file : str
        The file, or the chart's template, that it comes from.
    node : yaml.Node
        The object as YAML nodes, which know their lines.
    rendered : bool
        Whether a chart rendered it; then its lines are in no file of the user.
    """

    body: dict[str, Any]
    file: str
    node: yaml.Node = field(repr=False)
    rendered: bool = False

    @property
    def kind(self) -> str:
        """Such as `Deployment`."""
        return str(self.body.get("kind"))

    @property
    def metadata(self) -> dict[str, Any]:
        """Name, namespace, labels, annotations."""
        return mapping(self.body.get("metadata"))

    @property
    def name(self) -> str:
        """The name, or the beginning of a generated name with a star after it."""
        generated = self.metadata.get("generateName")
        return str(self.metadata.get("name") or (f"{generated}*" if generated else "(no name)"))

    @property
    def namespace(self) -> str | None:
        """The namespace; None if the object names none."""
        return self.metadata.get("namespace")

    @property
    def spec(self) -> dict[str, Any]:
        """The object's spec."""
        return mapping(self.body.get("spec"))

    @cached_property
    def pod(self) -> PodSpec:
        """The pod or pod template; an empty one for an object that creates no pods."""
        if self.kind not in _POD:
            return PodSpec((), {})
        path: FieldPath = _POD[self.kind]
        holder: Any = self.body
        for key in path:
            holder = mapping(holder).get(str(key))
        return PodSpec((*path, "spec"), mapping(mapping(holder).get("spec")))

    @cached_property
    def job(self) -> tuple[FieldPath, dict[str, Any]] | None:
        """Path and spec of a Job, or of the Jobs that a CronJob creates; None for other kinds."""
        if self.kind == "Job":
            return ("spec",), self.spec
        if self.kind == "CronJob":
            return ("spec", "jobTemplate", "spec"), mapping(mapping(self.spec.get("jobTemplate")).get("spec"))
        return None

    @property
    def is_bare_pod(self) -> bool:
        """Whether it is a pod that no controller replaces."""
        return self.kind == "Pod" and not self.metadata.get("ownerReferences")

    @property
    def pods_at_once(self) -> int:
        """How many pods the object runs side by side (a DaemonSet counts once: a manifest knows no nodes)."""
        if self.kind not in _POD or self.kind == "PodTemplate":
            return 0
        if self.job is not None:
            job = self.job[1]
            parallel = _count(job.get("parallelism"))
            return min(parallel, _count(job.get("completions"))) if job.get("completions") else parallel
        return _count(self.spec.get("replicas")) if self.kind not in ("Pod", "DaemonSet") else 1

    def line(self, path: FieldPath) -> int | None:
        """The line of a field, or of its nearest key that exists; None if a chart rendered the object."""
        if self.rendered:
            return None
        node, line = self.node, self.node.start_mark.line
        for step in path:
            if isinstance(node, yaml.MappingNode):
                pairs = [(key, value) for key, value in node.value if key.value == step]
                if not pairs:
                    break
                line, node = pairs[-1][0].start_mark.line, pairs[-1][1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                node = node.value[step]
                line = node.start_mark.line
            else:
                break
        return int(line) + 1


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 1


def read_manifests(text: str, file: str, *, rendered: bool = False) -> list[KubeObject]:
    """All objects of a YAML stream, those of Lists one by one.

    Parameters
    ----------
    text : str
        The YAML documents.
    file : str
        Name of the source in messages.
    rendered : bool
        Whether `helm template` printed the text; then an object's file is its template.

    Raises
    ------
    SpecError
        For text that is not YAML, and for documents that are not Kubernetes objects; with file and line.
    """
    found: list[KubeObject] = []
    loader: yaml.SafeLoader = _LOADER(text)
    lines = text.split("\n") if rendered else []
    read = 0
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None  # check_node said so
            start = node.start_mark.line
            sources = _SOURCE.findall("\n".join(lines[read : start + 1]))
            read = start + 1
            name = sources[-1] if sources else file
            body = loader.construct_document(node)
            if body is not None:
                found += _objects(body, node, name, rendered)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}" if mark else ""
        raise SpecError(f"{file}{where}: is not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise SpecError(f"{file}: is not YAML: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()
    return found


def _objects(body: object, node: yaml.Node, file: str, rendered: bool) -> list[KubeObject]:
    line = node.start_mark.line + 1
    if not isinstance(body, dict) or not isinstance(body.get("kind"), str):
        raise SpecError(
            f"{file}:{line}: is not a Kubernetes object: it has no kind. To check a values file, name "
            "its chart: grace policy check --chart DIR -f FILE"
        )
    kind = body["kind"]
    if kind.endswith("List") and isinstance(body.get("items"), list) and isinstance(node, yaml.MappingNode):
        (inner,) = [value for key, value in node.value if key.value == "items"][-1:]
        if isinstance(inner, yaml.SequenceNode):
            # Items of a typed list (a DeploymentList) may leave out their kind.
            typed = {} if kind == "List" else {"kind": kind.removesuffix("List")}
            pairs = zip(body["items"], inner.value, strict=True)
            return [
                manifest
                for item, at in pairs
                for manifest in _objects(typed | item if isinstance(item, dict) else item, at, file, rendered)
            ]
    return [KubeObject(body, file, node, rendered)]
