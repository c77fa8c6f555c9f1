"""Rules on volumes: P11, P12, P13, P16, P20."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from grace_client.kube.manifests import ContainerSpec, FieldPath, KubeObject, mapping, sequence
from grace_client.kube.quantities import QuantityError, decimal, quantity
from grace_client.policy.rules.base import CEPH, SCRATCH, STORAGE, Fault, Severity, rule, rule_for_all

FORBIDDEN_CLASS = "rook-cephfs-ucsd"
NEVER_BINDS = "ceph-rbd"
BLOCK = "rook-ceph-block"
SHARED_MODES = ("ReadWriteMany", "ReadOnlyMany")
SCRATCH_BYTES = 50 * 2**30
GIB = 2**30

_INSTALL = re.compile(
    r"\b(?:pip3?|uv\s+pip|conda|mamba|micromamba)\s+(?:-\S+\s+)*(?:install|create|env\s+create|sync)\b"
    r"|\bpython3?\s+-m\s+(?:pip\s+install|venv)\b|\bvirtualenv\s"
)


def _claims(item: KubeObject) -> Iterator[tuple[str, FieldPath, dict[str, object]]]:
    """Claims that an object is or creates: name, path of the claim's spec, the spec."""
    if item.kind == "PersistentVolumeClaim":
        yield item.name, ("spec",), item.spec
    for i, template in enumerate(sequence(item.spec.get("volumeClaimTemplates"))):
        name = str(mapping(mapping(template).get("metadata")).get("name"))
        yield name, ("spec", "volumeClaimTemplates", i, "spec"), mapping(mapping(template).get("spec"))
    for path, volume in item.pod.volumes():
        template = mapping(mapping(volume.get("ephemeral")).get("volumeClaimTemplate"))
        if template:
            spec = (*path, "ephemeral", "volumeClaimTemplate", "spec")
            yield str(volume.get("name")), spec, mapping(template.get("spec"))


@rule(
    "P11",
    Severity.NOTE,
    STORAGE,
    "Volumes that nobody touches for 6 months may be purged; they are no archive.",
    "A claim does not say when it was last used; the note names the claims with data.",
)
def volumes_are_no_archive(item: KubeObject) -> Iterator[Fault]:
    """Results leave a claim in time."""
    if item.kind == "PersistentVolumeClaim":
        yield Fault(
            ("spec",),
            "the cluster may purge a volume that nobody touches for 6 months, without notice",
            "fetch results when a run is done, and delete claims that you do not need",
        )


@rule(
    "P13",
    Severity.ERROR,
    CEPH,
    "Never rook-cephfs-ucsd; rook-ceph-block is ReadWriteOnce (weights), rook-cephfs ReadWriteMany "
    "(input, output, logs).",
    "A shared claim without a class is a warning: the cluster's default class decides.",
)
def usable_storage_classes(item: KubeObject) -> Iterator[Fault]:
    """A claim has a class that users may use, and that allows its access mode."""
    for name, path, spec in _claims(item):
        storage_class = spec.get("storageClassName")
        if storage_class == FORBIDDEN_CLASS:
            yield Fault(
                (*path, "storageClassName"),
                f"claim {name}: nobody may use storage class {FORBIDDEN_CLASS}",
                "use rook-ceph-block (ReadWriteOnce) for weights, rook-cephfs (ReadWriteMany) for input, "
                "output and logs",
            )
        shared = [mode for mode in sequence(spec.get("accessModes")) if mode in SHARED_MODES]
        default = storage_class is None
        if shared and (default or str(storage_class).startswith(BLOCK)):
            used = f"{BLOCK}, the default class," if default else storage_class
            yield Fault(
                (*path, "accessModes"),
                f"claim {name}: {used} cannot be {shared[0]} and will not bind",
                "ask for ReadWriteOnce, or for storageClassName: rook-cephfs",
                Severity.WARNING if default else None,
            )


@rule("P20", Severity.ERROR, CEPH, "Storage class ceph-rbd never binds.")
def no_class_that_never_binds(item: KubeObject) -> Iterator[Fault]:
    """A claim has a class that the cluster offers."""
    for name, path, spec in _claims(item):
        if spec.get("storageClassName") == NEVER_BINDS:
            yield Fault(
                (*path, "storageClassName"),
                f"claim {name}: the cluster has no storage class {NEVER_BINDS}, so the claim stays Pending",
                "use rook-ceph-block (ReadWriteOnce) or rook-cephfs (ReadWriteMany)",
            )


def _cephfs_volumes(item: KubeObject, classes: dict[str, str]) -> dict[str, str]:
    """Volumes of a pod that are on CephFS, or may be: storage class by name of the volume.

    The class is empty for a claim that is not among the objects.
    """
    # Claims that the object creates are volumes of its pods under their own names.
    found = {name: str(spec.get("storageClassName") or BLOCK) for name, _, spec in _claims(item)}
    for _, volume in item.pod.volumes():
        if claim := mapping(volume.get("persistentVolumeClaim")).get("claimName"):
            found[str(volume.get("name"))] = classes.get(str(claim), "")
    return {
        name: storage_class
        for name, storage_class in found.items()
        if "cephfs" in storage_class or not storage_class
    }


def _mounts(container: ContainerSpec, volumes: dict[str, str]) -> list[tuple[str, str]]:
    """Mount path and storage class of these volumes, if the container can write on them."""
    return [
        (str(mount.get("mountPath")).rstrip("/") or "/", volumes[str(mount.get("name"))])
        for mount in sequence(container.body.get("volumeMounts"))
        if isinstance(mount, dict) and mount.get("name") in volumes and not mount.get("readOnly")
    ]


@rule_for_all(
    "P12",
    Severity.ERROR,
    CEPH,
    "No pip or conda installs on CephFS, and one writer per file.",
    "An install beside a CephFS mount that it does not name is a warning; several pods that can write to "
    "one CephFS volume are a note.",
)
def nothing_installed_on_cephfs(objects: Sequence[KubeObject]) -> Iterator[tuple[KubeObject, Fault]]:
    """Packages are installed elsewhere; the class of a volume may be in another object, its claim."""
    classes = {
        item.name: str(item.spec.get("storageClassName") or BLOCK)
        for item in objects
        if item.kind == "PersistentVolumeClaim"
    }
    for item in objects:
        volumes = _cephfs_volumes(item, classes)
        for container in item.pod.containers:
            mounts = _mounts(container, volumes)
            if mounts and (fault := _install(container, mounts)):
                yield item, fault
            shared = [path for path, storage_class in mounts if storage_class]
            if shared and item.pods_at_once > 1:
                yield (
                    item,
                    Fault(
                        (*container.path, "volumeMounts"),
                        f"{container.name}: {item.pods_at_once} pods write to {shared[0]} on CephFS",
                        "let each pod write its own files (a run folder for each pod); two pods must never "
                        "write the same file",
                        Severity.NOTE,
                    ),
                )


def _install(container: ContainerSpec, mounts: list[tuple[str, str]]) -> Fault | None:
    """The fault of a container that installs packages beside or on CephFS mounts; None if it does not."""
    text = " ".join(container.command)
    if not (install := _INSTALL.search(text)):
        return None
    # The installing command writes to the paths that its line names.
    line = re.split(r"[;&|\n]", text[install.start() :], maxsplit=1)[0]
    named = [
        (path, storage_class)
        for path, storage_class in mounts
        if storage_class and re.search(rf"[\s=]{re.escape(path)}(?:/|\s|$)", line)
    ]
    path, storage_class = (named or mounts)[0]
    on = f"{path} ({storage_class})" if storage_class else f"{path}, a claim whose class is not seen here,"
    return Fault(
        container.command_path,
        f"{container.name}: installs packages "
        + (f"into {on}; that is forbidden on CephFS" if named else f"with {on} mounted"),
        "install when you build the image, or install into an emptyDir",
        None if named else Severity.WARNING,
    )


def _size(value: object) -> Fraction:
    try:
        return quantity(value)
    except QuantityError:
        return Fraction(0)


@rule(
    "P16",
    Severity.ERROR,
    SCRATCH,
    "/dev/shm is 64 MB unless a memory emptyDir is mounted, which counts against the memory limit; "
    "scratch over 50 Gi is requested as ephemeral-storage.",
    "Several GPUs without a memory volume at /dev/shm are a warning: a manifest does not show whether the "
    "program needs it.",
)
def memory_and_scratch_volumes(item: KubeObject) -> Iterator[Fault]:
    """Volumes in memory and on a node's disk fit what the pod requests."""
    pod = item.pod
    in_memory: set[str] = set()
    scratch = Fraction(0)
    where: FieldPath = pod.path
    for path, volume in pod.volumes():
        if not isinstance(volume.get("emptyDir"), dict):
            continue
        size = _size(volume["emptyDir"].get("sizeLimit") or 0)
        field = (*path, "emptyDir", "sizeLimit")
        if volume["emptyDir"].get("medium") != "Memory":
            scratch, where = scratch + size, field
            continue
        in_memory.add(str(volume.get("name")))
        memory = pod.amount("memory")
        if size > memory > 0:
            yield Fault(
                field,
                f"the memory volume {volume.get('name')} may hold {decimal(size / GIB)} GiB, which count "
                f"against the pod's memory limit of {decimal(memory / GIB)} GiB",
                f"set its sizeLimit below {decimal(memory / GIB)}Gi, and leave memory for the programs",
            )
    requested = pod.request("ephemeral-storage")
    if scratch > SCRATCH_BYTES and requested < scratch:
        yield Fault(
            where,
            f"the emptyDir volumes may hold {decimal(scratch / GIB)} GiB of scratch; more than 50Gi must "
            f"be requested, and the pod requests {decimal(requested / GIB)} GiB of ephemeral-storage",
            f"set the ephemeral-storage request to {decimal(scratch / GIB)}Gi or sizeLimit to 50Gi in "
            "all; put weights on a claim",
        )
    for container in pod.containers:
        mounted = {
            mapping(mount).get("mountPath"): mapping(mount).get("name")
            for mount in sequence(container.body.get("volumeMounts"))
        }
        if sum(container.gpus().values()) > 1 and mounted.get("/dev/shm") not in in_memory:
            yield Fault(
                (*container.path, "volumeMounts"),
                f"{container.name}: uses several GPUs with a /dev/shm of 64 MB, too little for the "
                "processes of one model to exchange tensors",
                "mount an emptyDir with medium: Memory at /dev/shm; its content counts against the memory "
                "limit",
                Severity.WARNING,
            )
