"""Every rule from both sides: what it refuses, and what it only just allows.

Cases that the chart judges too are in tests/chart/invalid; test_shared_rules.py runs both on them.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from grace_client.kube.manifests import read_manifests
from grace_client.kube.quantities import quantity
from grace_client.policy.rules import RULES
from grace_client.policy.rules.gpus import PRODUCT_LABEL
from tests.kube.objects import (
    Object,
    claim,
    container,
    cron_job,
    deployment,
    found,
    job,
    many,
    pod,
    report,
    resources,
    workload,
)


def sized(
    cpu: tuple[object, object] = (1, 1), memory: tuple[object, object] = ("1Gi", "1Gi"), **more: Any
) -> Object:
    return container(resources=resources(cpu=cpu, memory=memory, **more))


def saying(*command: str) -> Object:
    return container(command=list(command))


def with_env(name: str, value: object) -> Object:
    return container(env=[{"name": name, "value": value}])


def scratch(size: str, medium: str = "") -> Object:
    return {"name": "scratch", "emptyDir": {"sizeLimit": size, **({"medium": medium} if medium else {})}}


def shm() -> Object:
    return {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}


def mounting(volume: str, path: str, *command: str, gpus: int = 0, **more: Any) -> Object:
    mount = {"name": volume, "mountPath": path, **more}
    return container(volumeMounts=[mount], command=list(command), gpus=gpus)


def on_claim(name: str = "results") -> Object:
    return {"name": "data", "persistentVolumeClaim": {"claimName": name}}


def on_cephfs(*command: str, path: str = "/data", parallelism: int = 1, **more: Any) -> list[Object]:
    """A claim on CephFS and a Job that mounts it."""
    main = mounting("data", path, *command, **more)
    return [claim(), job(main, volumes=[on_claim()], job={"parallelism": parallelism})]


def with_spec(kind: str, **fields: Any) -> Object:
    """An object with fields in its spec, or in its pod's where they are the pod's."""
    obj = workload(kind)
    obj["spec"]["template"]["spec"].update({k: v for k, v in fields.items() if k == "ephemeralContainers"})
    obj["spec"].update({k: v for k, v in fields.items() if k != "ephemeralContainers"})
    return obj


def insisting(*products: str) -> Object:
    expression = {"key": PRODUCT_LABEL, "operator": "In", "values": list(products)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


EPHEMERAL_CLAIM = {
    "name": "e",
    "ephemeral": {"volumeClaimTemplate": {"spec": claim("rook-cephfs-ucsd")["spec"]}},
}
OWNED: Object = {"metadata": {"name": "x", "ownerReferences": [{"kind": "Job", "name": "queries"}]}}
TARGET = ("pip", "install", "--target", "/data/lib", "x")
A100 = "NVIDIA-A100-SXM4-80GB"
TOKEN = "hf_" + "abcdefghij" * 3

# rule, why it is refused, objects
REFUSED: list[tuple[str, str, list[Object]]] = [
    ("P1", "77Gi is over 1.2 × the request 64Gi, 120.31%", [deployment(sized(memory=("64Gi", "77Gi")))]),
    ("P1", "limit 1200001Ki is over", [job(sized(memory=("1000000Ki", "1200001Ki")))]),
    ("P1", "over 1.2 × the request 0", [deployment(sized(cpu=(0, "1m")))]),
    ("P1", "request of 50Gi and no limit", [job(sized(ephemeral_storage=("50Gi", None)))]),
    ("P1", "init container wait", [job(initContainers=[sized(cpu=(1, 2)) | {"name": "wait"}])]),
    ("P1", "pod: the memory limit 3Gi", [job(resources=resources(memory=("2Gi", "3Gi")))]),
    ("P2", "with 101 pods and 0 Jobs", [deployment(replicas=101)]),
    ("P2", "with 101 pods and 1 Jobs", [job(job={"parallelism": 101, "completions": 200})]),
    ("P2", "with 101 pods and 101 Jobs", many(101, job())),
    ("P3", "a bare pod is interactive work", [pod()]),
    ("P3", "takes 16.001 cores; at most 16", [pod(sized(cpu=("16001m", "16001m")))]),
    ("P3", "takes 33 GB; at most 32", [pod(sized(memory=("33G", "33G")))]),
    ("P3", "takes 16.5 cores", [pod(sized(cpu=(8, 8)), sized(cpu=("8.5", "8.5")))]),
    ("P4", "sleeps forever", [job(saying("sleep", "infinity"))]),
    ("P4", "sleeps forever", [deployment(saying("sh", "-c", "vllm serve x; sleep inf"))]),
    ("P4", "sleeps forever", [deployment(saying("sh", "-c", "sleep 'infinity'"))]),
    ("P4", "sleeps forever", [job(initContainers=[saying("sleep", "infinity")])]),
    ("P4", "ends with a sleep", [job(container(command=["sh", "-c"], args=["python run.py; sleep 3600"]))]),
    ("P4", "ends with a sleep", [cron_job(saying("sh", "-c", "python run.py\nsleep 1d;\n"))]),
    ("P4", "ends with a sleep", [job(saying("sh", "-c", "if true; then run; fi; (sleep 60)"))]),
    ("P4", "ends with a sleep", [job(saying("python", "-c", "import time; time.sleep(3600)"))]),
    ("P4", "ends with a sleep", [job(saying("sh", "-c", "run; sleep 60 || true", "--"))]),
    ("P4", "sleeps in a loop", [job(saying("sh", "-c", "run\nwhile true; do sleep 60; done"))]),
    ("P5", "401 Jobs at once; at most 400", many(401, job())),
    ("P6", "two weeks", [deployment()]),
    ("P6", "servers are Deployments", [workload("StatefulSet")]),
    ("P7", "a Deployment holds 1 GPU for", [deployment(container(gpus=1))]),
    ("P7", "a StatefulSet holds 2 GPUs", [workload("StatefulSet", container(gpus=2))]),
    ("P8", "a pod of 1.001 cores", [job(sized(cpu=("1001m", "1001m")))]),
    ("P8", "2.147 GB is measured", [job(sized(memory=("2Gi", "2Gi")))]),
    ("P8", "GPUs over 40%", [job(container(gpus=1))]),
    ("P9", "3 GPUs; a server has at most 2", [deployment(container(gpus=3))]),
    ("P9", "3 GPUs", [job(container("a", gpus=2), container("b", 1, "nvidia.com/a100"))]),
    ("P9", "3 GPUs", [pod(container(gpus=3)) | OWNED]),
    ("P9", "3 GPUs", [deployment(container(gpus=3), replicas=0)]),
    ("P9", "3 pods of 1 GPU are 3", [deployment(container(gpus=1), replicas=3)]),
    ("P9", "4 GPUs", [job(container(gpus=2), initContainers=[container("s", 2, restartPolicy="Always")])]),
    ("P9", "together ask for 52 GPUs at once", many(26, deployment(container(gpus=2)))),
    ("P10", "nvidia.com/a100 has a quota", [job(container(gpus=1, gpu="nvidia.com/a100"))]),
    ("P10", f"asks for {A100} as nvidia.com/gpu", [job(container(gpus=1), affinity=insisting(A100))]),
    ("P10", "asks for NVIDIA-A40", [job(container(gpus=1), nodeSelector={PRODUCT_LABEL: "NVIDIA-A40"})]),
    ("P11", "6 months", [claim()]),
    ("P12", "into /data (rook-cephfs)", on_cephfs(*TARGET)),
    ("P12", "into /data (rook-cephfs)", on_cephfs("sh", "-c", "conda create -p /data/env", path="/data/")),
    ("P12", "installs packages with /data", on_cephfs("sh", "-c", "pip install x; run")),
    ("P12", "a claim whose class is not seen here", on_cephfs("sh", "-c", "python -m venv v")[1:]),
    ("P12", "2 pods write to /data", on_cephfs(parallelism=2)),
    ("P13", "may use storage class rook-cephfs-ucsd", [claim("rook-cephfs-ucsd")]),
    ("P13", "class rook-cephfs-ucsd", [job(volumes=[EPHEMERAL_CLAIM])]),
    ("P13", "rook-ceph-block cannot be ReadWriteMany", [claim("rook-ceph-block")]),
    ("P13", "rook-ceph-block-east cannot be ReadOnlyMany", [claim("rook-ceph-block-east", "ReadOnlyMany")]),
    ("P13", "the default class, cannot be ReadWriteMany", [claim(None)]),
    ("P14", "priority class nice is refused", [job(priorityClassName="nice")]),
    ("P14", "priority class system-node-critical", [cron_job(priorityClassName="system-node-critical")]),
    ("P15", "tolerates nvidia.com/gpu", [job(tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}])]),
    ("P15", "tolerates every taint", [job(tolerations=[{"operator": "Exists"}])]),
    ("P15", "tolerates nautilus.io/issue", [deployment(tolerations=[{"key": "nautilus.io/issue"}])]),
    ("P16", "may hold 2 GiB, which count against", [job(volumes=[scratch("2Gi", "Memory")])]),
    ("P16", "51 GiB of scratch", [job(volumes=[scratch("51Gi")])]),
    ("P16", "60 GiB of scratch", [job(sized(ephemeral_storage=("59Gi", "60Gi")), volumes=[scratch("60Gi")])]),
    ("P16", "/dev/shm of 64 MB", [job(container(gpus=2))]),
    ("P16", "/dev/shm of 64 MB", [job(mounting("shm", "/tmp", gpus=2), volumes=[shm()])]),
    ("P17", "HF_TOKEN holds a Hugging Face token", [job(with_env("HF_TOKEN", TOKEN))]),
    ("P17", "API_KEY holds a literal", [deployment(with_env("VLLM_API_KEY", "correct horse"))]),
    ("P17", "the args hold a literal", [job(container(args=["--api-key", "abcdef"]))]),
    ("P17", "the command hold a Hugging Face token", [job(saying("login", "--token", TOKEN))]),
    ("P17", "token holds a literal", [{"kind": "ConfigMap", "data": {"token": "s3cret-word"}}]),
    ("P18", "has no cpu request", [job(sized(cpu=(None, 1)))]),
    ("P18", "has no memory limit", [job(sized(memory=("1Gi", None)))]),
    ("P18", "init container main: has no cpu limit", [job(initContainers=[sized(cpu=(1, None))])]),
    ("P18", "has no memory request", [job(container(resources=None))]),
    ("P18", "the cpu limit 999m is below the request 1", [job(sized(cpu=(1, "999m")))]),
    ("P18", "nvidia.com/gpu limit 1 is below", [job(sized(**{"nvidia.com/gpu": (2, 1)}))]),
    ("P18", "'64GB' is not a Kubernetes quantity", [job(sized(memory=("64GB", "64GB")))]),
    ("P18", "-1 is negative", [job(sized(cpu=(-1, 1)))]),
    ("P19", "no backoffLimit", [job(job={"backoffLimit": None})]),
    ("P19", "no ttlSecondsAfterFinished", [cron_job(job={"ttlSecondsAfterFinished": None})]),
    ("P19", "tail -f /dev/null", [deployment(saying("tail", "-f", "/dev/null"))]),
    ("P19", "tail -f /dev/null", [job(saying("sh", "-c", "run; tail -F /dev/null"))]),
    ("P20", "no storage class ceph-rbd", [claim("ceph-rbd", "ReadWriteOnce")]),
    ("P20", "class ceph-rbd", [with_spec("StatefulSet", volumeClaimTemplates=[claim("ceph-rbd")])]),
    ("P21", "asks for 9 GPUs; no Job gets more than 8", [job(container(gpus=9))]),
    ("P21", "asks for 3 GPUs; a bare pod may have 2", [pod(container(gpus=3))]),
]  # fmt: skip

ALLOWED: list[tuple[str, list[Object]]] = [
    ("P1", [deployment(sized(cpu=("8000m", 9.6)))]),
    ("P1", [deployment(sized(memory=("128Gi", "164926744166")))]),
    ("P1", [deployment(sized(memory=("10e9", "12G")))]),
    ("P1", [job(sized(ephemeral_storage=("50Gi", "60Gi"))), job(sized(ephemeral_storage=(None, "60Gi")))]),
    ("P1", [deployment(sized(cpu=(None, 8)))]),
    ("P2", [deployment(replicas=100)]),
    ("P2", [deployment(sized(), replicas=101)]),
    ("P2", [job(job={"parallelism": 500, "completions": 100})]),
    ("P2", many(50, deployment()) + many(50, job())),
    ("P3", [deployment(sized(cpu=(32, 32)))]),
    ("P3", [pod() | OWNED]),
    ("P4", [job(saying("sh", "-c", "sleep 5; python run.py"))]),
    ("P4", [job(saying("sh", "-c", "until curl -f server; do sleep 5; done; python run.py"))]),
    ("P4", [job(saying("sh", "-c", "while true; do curl server && break; sleep 5; done; python run.py"))]),
    ("P4", [job(saying("grace", "run", "sleepiness-study", "--out", "/output/sleep"))]),
    ("P4", [deployment(saying("sh", "-c", "nginx & sleep 30"))]),
    ("P5", many(400, job())),
    ("P6", [job(container(gpus=2))]),
    ("P7", [job(container(gpus=2)), deployment()]),
    ("P8", [job(sized(cpu=(1, 1), memory=("2G", "2G")))]),
    ("P8", [job(sized(cpu=("500m", 1), memory=("1G", "1G")), sized(cpu=("500m", 1), memory=("1G", "1G")))]),
    ("P9", [deployment(container(gpus=2)), deployment(container(gpus=1), replicas=2)]),
    ("P9", [job(container(gpus=2), initContainers=[container("a", gpus=2), container("b", gpus=2)])]),
    ("P9", many(25, deployment(container(gpus=2)))),
    ("P9", [deployment(container(gpus=2), replicas=0)]),
    ("P10", [job(container(gpus=1, gpu="nvidia.com/a100"), priorityClassName="opportunistic")]),
    ("P10", [job(container(gpus=1), affinity=insisting(A100, "NVIDIA-GeForce-RTX-3090"))]),
    ("P10", [job(container(gpus=1), affinity=insisting("NVIDIA-L40"))]),
    ("P10", [job(container(gpus=1))]),
    ("P11", [job(volumes=[on_claim()])]),
    ("P12", on_cephfs("grace", "run")),
    ("P12", [claim("rook-ceph-block", "ReadWriteOnce"), on_cephfs(*TARGET)[1]]),
    ("P12", on_cephfs("pip", "install", "x", readOnly=True)),
    ("P12", [job(mounting("scratch", "/s", "pip", "install", "x"), volumes=[scratch("1Gi")])]),
    ("P13", [claim("rook-ceph-block", "ReadWriteOnce"), claim("rook-cephfs"), claim(None, "ReadWriteOnce")]),
    ("P14", [job(priorityClassName=name) for name in
             ("armada-default", "owner-no-preempt", "opportunistic", "opportunistic2", "", None)]),
    ("P15", [job(tolerations=[{"key": "nautilus.io/hardware", "operator": "Exists"}])]),
    ("P15", [job(tolerations=[{"key": "node.kubernetes.io/not-ready", "tolerationSeconds": 300}])]),
    ("P16", [job(volumes=[scratch("1Gi", "Memory")])]),
    ("P16", [job(volumes=[scratch("50Gi")])]),
    ("P16", [job(sized(ephemeral_storage=("60Gi", "72Gi")), volumes=[scratch("60Gi")])]),
    ("P16", [job(mounting("shm", "/dev/shm", gpus=2), volumes=[shm()]), job(container(gpus=1))]),
    ("P17", [job(container(env=[{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"key": "t"}}}]))]),
    ("P17", [{"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"token": TOKEN}}]),
    ("P18", [job(sized(cpu=(1, 1)))]),
    ("P18", [with_spec("Deployment", ephemeralContainers=[{"name": "debug"}])]),
    ("P19", [job(job={"backoffLimit": 0, "ttlSecondsAfterFinished": 0}), job(saying("tail", "-f", "/log"))]),
    ("P20", [claim("rook-ceph-block", "ReadWriteOnce")]),
    ("P21", [job(container(gpus=8)), pod(container(gpus=2))]),
]  # fmt: skip

SEVERITIES = {"P6": "note", "P7": "note", "P8": "note", "P10": "warning", "P11": "note"}


def test_both_lists_know_every_rule() -> None:
    """P1 to P21, in order, each with a sentence, a source and a date."""
    ids = [f"P{i}" for i in range(1, 22)]
    assert [rule.id for rule in RULES] == ids
    assert sorted({rule for rule, _, _ in REFUSED}) == sorted({rule for rule, _ in ALLOWED}) == sorted(ids)
    for rule in RULES:
        assert rule.severity == SEVERITIES.get(rule.id, "error")
        assert rule.text.endswith(".")
        assert rule.source
        assert rule.reviewed == "2026-11"
        assert bool(rule.undecided) or rule.severity == "error"


@pytest.mark.parametrize(("rule", "why", "objects"), REFUSED, ids=[f"{r[0]}-{r[1][:30]}" for r in REFUSED])
def test_refused(rule: str, why: str, objects: list[Object]) -> None:
    """With the reason, a remedy, and the field that is at fault."""
    findings = found(rule, *objects)
    assert any(why in finding.why for finding in findings), [finding.why for finding in findings]
    for finding in findings:
        assert finding.fix
        assert finding.line


@pytest.mark.parametrize(("rule", "objects"), ALLOWED, ids=[f"{a[0]}-{i}" for i, a in enumerate(ALLOWED)])
def test_allowed(rule: str, objects: list[Object]) -> None:
    """Up to the bound."""
    assert [finding.why for finding in found(rule, *objects)] == []


@pytest.mark.parametrize("one", [job(), cron_job(), claim("rook-ceph-block", "ReadWriteOnce")])
def test_what_is_right_has_no_errors(one: Object) -> None:
    """By any rule."""
    assert [f for f in report(one).findings if f.severity != "note"] == []


def test_severities_that_depend_on_what_a_manifest_tells() -> None:
    """An error where the manifest decides, a warning or a note where it does not."""
    by_why = {
        why: found(rule, *objects)[-1]
        for rule, why, objects in REFUSED
        if rule in ("P6", "P12", "P13", "P16")
    }
    severities = {why: str(finding.severity) for why, finding in by_why.items()}
    assert severities["two weeks"] == "note"
    assert severities["servers are Deployments"] == "error"
    assert severities["into /data (rook-cephfs)"] == "error"
    assert severities["installs packages with /data"] == "warning"
    assert severities["a claim whose class is not seen here"] == "warning"
    assert severities["2 pods write to /data"] == "note"
    assert severities["rook-ceph-block cannot be ReadWriteMany"] == "error"
    assert severities["the default class, cannot be ReadWriteMany"] == "warning"
    assert severities["51 GiB of scratch"] == "error"
    assert severities["/dev/shm of 64 MB"] == "warning"


@pytest.mark.parametrize(
    ("request_", "limit", "fix"),
    [
        ("64Gi", "77Gi", "at most 76Gi (1.2 × 64Gi = 76.8Gi), or the request to at least 65Gi"),
        ("128Gi", "154Gi", "at most 153Gi (1.2 × 128Gi = 153.6Gi), or the request to at least 129Gi"),
        ("1Gi", "2Gi", "at most 1228Mi (1.2 × 1Gi = 1.2Gi), or the request to at least 2Gi"),
    ],
)
def test_the_fix_names_the_largest_allowed_figure(request_: str, limit: str, fix: str) -> None:
    """And the smallest request that would carry the limit."""
    (finding,) = found("P1", deployment(sized(memory=(request_, limit))))
    assert fix in finding.fix


@given(
    st.integers(1, 5000),
    st.sampled_from([("", "m"), ("Gi", "Mi"), ("Mi", "Mi"), ("G", "Gi"), ("m", "m"), ("Gi", "")]),
    st.integers(1, 10**7),
)
def test_p1_agrees_with_exact_arithmetic(request_: int, units: tuple[str, str], limit: int) -> None:
    """For any pair of quantities: refused if and only if 5 × limit > 6 × request."""
    asked, most = f"{request_}{units[0]}", f"{limit}{units[1]}"
    refused = bool(found("P1", job(sized(memory=(asked, most)))))
    assert refused == (5 * quantity(most) > 6 * quantity(asked))


def test_what_a_pod_takes_at_its_largest_moment() -> None:
    """Sidecars run beside everything that follows them; init containers one after another."""

    def init(cpu: int, always: bool = False) -> Object:
        return sized(cpu=(cpu, cpu)) | ({"restartPolicy": "Always"} if always else {})

    (manifest,) = read_manifests(
        yaml.safe_dump(job(sized(cpu=(3, 3)), initContainers=[init(9), init(2, True), init(4)])), "x"
    )
    assert manifest.pod.amount("cpu") == 9
    (manifest,) = read_manifests(
        yaml.safe_dump(job(sized(cpu=(3, 3)), initContainers=[init(2, True), init(8), init(1, True)])), "x"
    )
    assert manifest.pod.amount("cpu") == 10


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"])
def test_every_kind_of_workload_is_looked_into(kind: str) -> None:
    """So are Jobs, CronJobs and pods, with the path that leads to the container."""
    wrong = sized(cpu=(1, 2))
    paths = {
        found("P1", obj)[0].field for obj in (workload(kind, wrong), job(wrong), cron_job(wrong), pod(wrong))
    }
    assert paths == {
        "spec.template.spec.containers[0].resources.limits.cpu",
        "spec.jobTemplate.spec.template.spec.containers[0].resources.limits.cpu",
        "spec.containers[0].resources.limits.cpu",
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"spec": None},
        {"spec": {"template": None}},
        {"spec": {"template": {"spec": {"containers": "none"}}}},
        {"spec": {"template": {"spec": {"containers": [None, "x", {}]}}}},
        {"spec": {"template": {"spec": {"containers": [{"env": [None], "resources": [], "command": "x"}]}}}},
        {"spec": {"replicas": "two", "template": {"spec": {"volumes": [None, {"emptyDir": None}]}}}},
        {"spec": {"template": {"spec": {"tolerations": [None], "affinity": {"nodeAffinity": []}}}}},
        {"metadata": None},
        {"metadata": {"generateName": "x-"}},
    ],
)
def test_broken_objects_are_survived(broken: Object) -> None:
    """What is no mapping or list where one belongs counts as absent."""
    for kind in ("Deployment", "Job", "StatefulSet", "Pod"):
        assert report({"kind": kind, **broken}).objects == 1
