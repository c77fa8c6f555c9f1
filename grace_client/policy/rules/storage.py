"""Rules on volumes: P11, P12, P13, P16, P20."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from grace_client.kube.manifests import ContainerSpec, FieldPath, KubeObject, PodSpec, mapping, sequence
from grace_client.kube.quantities import QuantityError, decimal, quantity
from grace_client.policy.rules.base import CEPH, SCRATCH, STORAGE, Fault, Rule, Severity

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


def _claims(manifest: KubeObject) -> Iterator[tuple[str, FieldPath, dict[str, object]]]:
    """Claims that an object is or makes: name, where the claim's spec stands, the spec."""
    if manifest.kind == "PersistentVolumeClaim":
        yield manifest.name, ("spec",), manifest.spec
    for i, template in enumerate(sequence(manifest.spec.get("volumeClaimTemplates"))):
        name = str(mapping(mapping(template).get("metadata")).get("name"))
        yield name, ("spec", "volumeClaimTemplates", i, "spec"), mapping(mapping(template).get("spec"))
    for path, volume in manifest.pod.volumes() if manifest.pod else ():
        template = mapping(mapping(volume.get("ephemeral")).get("volumeClaimTemplate"))
        if template:
            spec = (*path, "ephemeral", "volumeClaimTemplate", "spec")
            yield str(volume.get("name")), spec, mapping(template.get("spec"))


def volumes_are_no_archive(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P11."""
    for manifest in manifests:
        if manifest.kind == "PersistentVolumeClaim":
            yield Fault(
                manifest,
                ("spec",),
                "a volume that nobody touches for 6 months may be purged without notice",
                "bring results home when a run is done, and delete claims that are not needed",
            )


def usable_storage_classes(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P13."""
    for manifest in manifests:
        for name, path, spec in _claims(manifest):
            storage_class = spec.get("storageClassName")
            if storage_class == FORBIDDEN_CLASS:
                yield Fault(
                    manifest,
                    (*path, "storageClassName"),
                    f"claim {name}: storage class {FORBIDDEN_CLASS} is not to be used",
                    "use rook-ceph-block (ReadWriteOnce) for weights, rook-cephfs (ReadWriteMany) for input, "
                    "output and logs",
                )
            shared = [mode for mode in sequence(spec.get("accessModes")) if mode in SHARED_MODES]
            default = storage_class is None
            if shared and (default or str(storage_class).startswith(BLOCK)):
                yield Fault(
                    manifest,
                    (*path, "accessModes"),
                    f"claim {name}: "
                    f"{BLOCK if default else storage_class}{', the default class,' if default else ''} "
                    f"cannot be {shared[0]} and will not bind",
                    "ask for ReadWriteOnce, or for storageClassName: rook-cephfs",
                    Severity.WARNING if default else None,
                )


def no_class_that_never_binds(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P20."""
    for manifest in manifests:
        for name, path, spec in _claims(manifest):
            if spec.get("storageClassName") == NEVER_BINDS:
                yield Fault(
                    manifest,
                    (*path, "storageClassName"),
                    f"claim {name}: the cluster has no storage class {NEVER_BINDS}; the claim stays Pending "
                    "for good",
                    "use rook-ceph-block (ReadWriteOnce) or rook-cephfs (ReadWriteMany)",
                )


def _cephfs_volumes(pod: PodSpec, manifest: KubeObject, classes: dict[str, str]) -> dict[str, str]:
    """Volumes of a pod that lie on CephFS, or may do: name of the volume to its storage class.

    The class is empty for a claim that is not among the objects.
    """
    # Claims that the object makes are volumes of its pods under their own names.
    found = {name: str(spec.get("storageClassName") or BLOCK) for name, _, spec in _claims(manifest)}
    for _, volume in pod.volumes():
        if claim := mapping(volume.get("persistentVolumeClaim")).get("claimName"):
            found[str(volume.get("name"))] = classes.get(str(claim), "")
    return {
        name: storage_class
        for name, storage_class in found.items()
        if "cephfs" in storage_class or not storage_class
    }


def _mounts(container: ContainerSpec, volumes: dict[str, str]) -> list[tuple[str, str]]:
    """Where a container can write on these volumes: mount path, storage class."""
    return [
        (str(mount.get("mountPath")).rstrip("/") or "/", volumes[str(mount.get("name"))])
        for mount in sequence(container.body.get("volumeMounts"))
        if isinstance(mount, dict) and mount.get("name") in volumes and not mount.get("readOnly")
    ]


def nothing_installed_on_cephfs(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P12."""
    classes = {
        manifest.name: str(manifest.spec.get("storageClassName") or BLOCK)
        for manifest in manifests
        if manifest.kind == "PersistentVolumeClaim"
    }
    for manifest in manifests:
        pod = manifest.pod
        if pod is None:
            continue
        volumes = _cephfs_volumes(pod, manifest, classes)
        for container in pod.containers:
            mounts = _mounts(container, volumes)
            text = " ".join(container.command)
            key = "command" if container.body.get("command") else "args"
            if mounts and (install := _INSTALL.search(text)):
                # What is named from the installing command to the end of its line is what it writes to.
                line = re.split(r"[;&|\n]", text[install.start() :], maxsplit=1)[0]
                at = [
                    (p, cls)
                    for p, cls in mounts
                    if cls and re.search(rf"[\s=]{re.escape(p)}(?:/|\s|$)", line)
                ]
                path, storage_class = (at or mounts)[0]
                on = (
                    f"{path} ({storage_class})"
                    if storage_class
                    else f"{path}, a claim whose class is not seen here,"
                )
                yield Fault(
                    manifest,
                    (*container.path, key),
                    f"{container.name}: installs packages "
                    + (f"into {on}; that is forbidden on CephFS" if at else f"with {on} mounted"),
                    "install in the image when it is built, or into an emptyDir",
                    None if at else Severity.WARNING,
                )
            shared = [path for path, storage_class in mounts if storage_class]
            if shared and manifest.pods_at_once > 1:
                yield Fault(
                    manifest,
                    (*container.path, "volumeMounts"),
                    f"{container.name}: {manifest.pods_at_once} pods write to {shared[0]} on CephFS",
                    "let each pod write files of its own (a run folder per pod), never two the same file",
                    Severity.NOTE,
                )


def _size(value: object) -> Fraction:
    try:
        return quantity(value)
    except QuantityError:
        return Fraction(0)


def memory_and_scratch_volumes(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P16."""
    for manifest in manifests:
        pod = manifest.pod
        if pod is None:
            continue
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
                    manifest,
                    field,
                    f"the memory volume {volume.get('name')} may hold {decimal(size / GIB)} GiB, which count "
                    f"against the pod's memory limit of {decimal(memory / GIB)} GiB",
                    f"set its sizeLimit below {decimal(memory / GIB)}Gi, by what the programs themselves "
                    "need",
                )
        asked = pod.request("ephemeral-storage")
        if scratch > SCRATCH_BYTES and asked < scratch:
            yield Fault(
                manifest,
                where,
                f"the emptyDir volumes may hold {decimal(scratch / GIB)} GiB of scratch; more than 50Gi must "
                f"be requested, and the pod requests {decimal(asked / GIB)} GiB of ephemeral-storage",
                f"set the ephemeral-storage request to {decimal(scratch / GIB)}Gi or sizeLimit to 50Gi in "
                "all; weights belong on a claim",
            )
        for container in pod.containers:
            mounted = {
                mapping(m).get("mountPath"): mapping(m).get("name")
                for m in sequence(container.body.get("volumeMounts"))
            }
            if sum(container.gpus().values()) > 1 and mounted.get("/dev/shm") not in in_memory:
                yield Fault(
                    manifest,
                    (*container.path, "volumeMounts"),
                    f"{container.name}: uses several GPUs with a /dev/shm of 64 MB, too little for the "
                    "processes of one model to exchange tensors",
                    "mount an emptyDir with medium: Memory at /dev/shm; what is in it counts against the "
                    "memory limit",
                    Severity.WARNING,
                )


RULES = (
    Rule(
        "P11",
        Severity.NOTE,
        "Volumes untouched for 6 months may be purged; they are no archive.",
        STORAGE,
        volumes_are_no_archive,
        "When a volume was last used is not written in its claim; the note says which claims hold data.",
    ),
    Rule(
        "P12",
        Severity.ERROR,
        "No pip or conda installs on CephFS, and one writer per file.",
        CEPH,
        nothing_installed_on_cephfs,
        "An install beside a CephFS mount that it does not name is a warning; several pods that can write to "
        "one CephFS volume are a note.",
    ),
    Rule(
        "P13",
        Severity.ERROR,
        "Never rook-cephfs-ucsd; rook-ceph-block is ReadWriteOnce (weights), rook-cephfs ReadWriteMany "
        "(input, output, logs).",
        CEPH,
        usable_storage_classes,
        "A shared claim without a class is a warning: the cluster's default class decides.",
    ),
    Rule(
        "P16",
        Severity.ERROR,
        "/dev/shm is 64 MB unless a memory emptyDir is mounted, which counts against the memory limit; "
        "scratch over 50 Gi is requested as ephemeral-storage.",
        SCRATCH,
        memory_and_scratch_volumes,
        "Several GPUs without a memory volume at /dev/shm are a warning: whether a program needs it is not "
        "written in the manifest.",
    ),
    Rule(
        "P20",
        Severity.ERROR,
        "Storage class ceph-rbd never binds.",
        CEPH,
        no_class_that_never_binds,
    ),
)
