"""What a release is made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grace_client import __version__, studies
from tests.chart.helm import (
    CHART,
    HELMS,
    NEWEST,
    VALUES,
    Object,
    RefusedError,
    args,
    containers,
    of,
    one,
    pods,
    printed,
    render,
    run,
    validate,
)
from tests.conftest import ROOT

MODEL = VALUES / "gemma-9b.yaml"
ON = {"enabled": True}


def selectors(o: Object) -> dict[str, str]:
    spec = o["spec"].get("selector") or o["spec"].get("podSelector")
    labels: dict[str, str] = spec.get("matchLabels", spec)
    return labels


def matches(selector: dict[str, str], pod: Object) -> bool:
    labels: dict[str, str] = pod["metadata"]["labels"]
    return selector.items() <= labels.items()


def test_names_follow_the_pattern() -> None:
    """{type}-{model}-{purpose}; a Job's ends in what it is."""
    objects = render(MODEL, values={"monitoring": {"serviceMonitor": True}, "files": ON})
    names = {o["metadata"]["name"] for o in objects}
    queries = {o["metadata"]["name"] for o in of(objects, "Job", "query")}
    autostop = one(objects, "Job", "autostop")["metadata"]["name"]
    assert autostop.rpartition("-")[0] == "job-autostop-gemma-9b"
    assert names - queries - {autostop} == {
        "serviceaccount-gemma-9b-autostop",
        "role-gemma-9b-autostop",
        "rolebinding-gemma-9b-autostop",
        "deployment-gemma-9b",
        "service-gemma-9b",
        "configmap-gemma-9b-logging",
        "networkpolicy-gemma-9b-server",
        "networkpolicy-gemma-9b-clients",
        "pvc-model-weights-gemma-9b",
        "pvc-grace-input",
        "pvc-grace-output",
        "pvc-grace-logs",
        "monitor-gemma-9b",
        "job-test-gemma-9b",
        "job-files-gemma-9b",
    }
    experiments = ("study1-exp1", "study1-exp2", "study2-exp1", "study2-exp2")
    assert {name.rpartition("-")[0] for name in queries} == {f"job-query-{e}-gemma-9b" for e in experiments}
    longest = {"model": {"name": "a" * 24}, "queries": {"experiments": {"study2-judgement": ON}}}
    assert max(len(o["metadata"]["name"]) for o in render(MODEL, values=longest)) <= 63


def test_the_experiments_are_those_of_the_package() -> None:
    """With the trial list of their study, and their options."""
    every = {"queries": {"experiments": dict.fromkeys(studies.experiments(), ON)}}
    jobs = of(render(MODEL, values=every), "Job", "query")
    assert {job["metadata"]["labels"]["grace/experiment"] for job in jobs} == set(studies.experiments())
    for job in jobs:
        (client,) = containers(job["spec"]["template"])
        experiment = client["args"][1]
        given = args(client)
        assert client["args"][0] == "run"
        assert given["server"] == "http://service-gemma-9b:8000"
        assert given["trials"] == f"/app/data/{experiment.partition('-')[0]}.csv"
        assert given["out"] == f"/output/{experiment}/gemma-9b/gemma-9b"
        assert ("replicates" in given) is experiment.endswith("exp1")


def test_versions_are_one() -> None:
    """The chart's client is the package beside it."""
    (client,) = containers(of(render(MODEL), "Job", "query")[0]["spec"]["template"])
    assert client["image"] == f"grace-client:{__version__}"


def test_two_releases_in_one_namespace() -> None:
    """No selector of one finds a pod of the other, even of one model; they share the output claim."""
    stem = {"nameOverride": "again"}
    releases = [render(MODEL), render(MODEL, release="again", values=stem), render(VALUES / "llama-8b.yaml")]
    for mine in releases:
        for other in releases:
            for o in (*of(mine, "Service"), *of(mine, "Deployment"), *of(mine, "NetworkPolicy")):
                found = [pod for _, pod in pods(other) if matches(selectors(o), pod)]
                assert bool(found) is (mine is other)
    own = [
        {(o["kind"], o["metadata"]["name"]) for o in r if o["kind"] != "PersistentVolumeClaim"}
        for r in releases
    ]
    assert not own[0] & own[1] and not own[0] & own[2]
    outputs = {o["metadata"]["name"] for r in releases for o in of(r, "PersistentVolumeClaim", "output")}
    assert outputs == {"pvc-grace-output"}
    folders = [
        args(c)["out"]
        for r in releases
        for j in of(r, "Job", "query")
        for c in containers(j["spec"]["template"])
    ]
    assert len(set(folders)) == len(folders) == 12


def test_claims_outlive_the_release() -> None:
    """All of them, in every stage."""
    for stage in ("init", "job"):
        claims = of(render(MODEL, values={"weights": {"stage": stage}}), "PersistentVolumeClaim")
        assert len(claims) == 4
        assert all(c["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for c in claims)


def test_claims_of_ones_own_are_used_and_not_made() -> None:
    """`existingClaim` of each."""
    own = {"existingClaim": "mine"}
    objects = render(
        MODEL, values={"weights": {"storage": own}, "storage": {"output": own, "input": own, "logs": own}}
    )
    assert not of(objects, "PersistentVolumeClaim")
    used = [
        v for _, pod in pods(objects) for v in pod["spec"].get("volumes", []) if "persistentVolumeClaim" in v
    ]
    assert used and {v["persistentVolumeClaim"]["claimName"] for v in used} == {"mine"}


def test_a_shared_cache_for_several_models() -> None:
    """One claim that all may mount."""
    storage = {"name": "pvc-cache", "class": "rook-cephfs", "accessMode": "ReadWriteMany", "size": "400Gi"}
    for model in ("gemma-9b", "llama-8b"):
        objects = render(VALUES / f"{model}.yaml", values={"weights": {"storage": storage}})
        claim = one(objects, "PersistentVolumeClaim", "weights")
        assert claim["metadata"]["name"] == "pvc-cache"
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    derived = {"model": {"name": "m", "repository": "a/m", "weightsGiB": 10.1}}
    assert one(render(values=derived), "PersistentVolumeClaim", "weights")["spec"]["resources"][
        "requests"
    ] == {"storage": "15Gi"}


@pytest.mark.parametrize("stage", ["init", "job", "none"])
def test_weights_come_before_the_server(stage: str) -> None:
    """By its own pod, by a Job before any GPU is held, or not at all; the server reads them offline."""
    objects = render(MODEL, values={"weights": {"stage": stage}})
    pod = one(objects, "Deployment")["spec"]["template"]
    assert [c["name"] for c in containers(pod)] == (["weights", "server"] if stage == "init" else ["server"])
    server = containers(pod)[-1]
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in server["env"]
    loaders = [c for _, p in pods(objects) for c in containers(p) if c["name"] == "weights"]
    assert len(loaders) == (stage != "none")
    for loader in loaders:
        assert loader["args"][1:] == ["google/gemma-2-9b-it", "main", "17.3"]
        assert not any(name.startswith("nvidia.com") for name in loader["resources"]["limits"])
        for container in (loader, server):
            assert {"name": "HF_HOME", "value": "/weights"} in container["env"]
            assert {"name": "weights", "mountPath": "/weights"} in container["volumeMounts"]
        token = next(e for e in loader["env"] if e["name"] == "HF_TOKEN")
        assert token["valueFrom"]["secretKeyRef"] == {"name": "hf-token", "key": "token"}
    if stage == "job":
        claim, job = one(objects, "PersistentVolumeClaim", "weights"), one(objects, "Job", "weights")
        weight = [int(o["metadata"]["annotations"]["helm.sh/hook-weight"]) for o in (claim, job)]
        assert weight[0] < weight[1]
        # The default policy would delete the claim, and the weights with it, at the next install.
        assert claim["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "hook-failed"
        assert job["spec"]["backoffLimit"] and job["spec"]["activeDeadlineSeconds"] < 86400


def test_the_server_is_where_it_should_be() -> None:
    """GPU product, driver, region, priority and tolerations; a client only in its region."""
    values = {
        "gpu": {"minCudaDriver": 580},
        "scheduling": {
            "region": "us-west",
            "priorityClassName": "opportunistic",
            "tolerations": [{"key": "nautilus.io/hardware", "operator": "Exists"}],
        },
    }
    objects = render(MODEL, values=values)

    def terms(o: Object) -> dict[str, tuple[str, list[str]]]:
        affinity = o["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        return {e["key"]: (e["operator"], e["values"]) for e in term["matchExpressions"]}

    region = {"topology.kubernetes.io/region": ("In", ["us-west"])}
    assert terms(one(objects, "Deployment")) == region | {
        "nvidia.com/gpu.product": ("In", ["NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe"]),
        "nvidia.com/cuda.driver.major": ("Gt", ["579"]),
    }
    for o, pod in pods(objects):
        assert pod["spec"]["priorityClassName"] == "opportunistic"
        assert pod["spec"]["tolerations"]
        if o["kind"] == "Job":
            assert terms(o) == region


def test_a_server_without_a_gpu() -> None:
    """Asks for none and for no node that has one, and takes the command it is given."""
    objects = render(CHART / "ci" / "stand-in-values.yaml", release="x")
    pod = one(objects, "Deployment")["spec"]["template"]
    (server,) = containers(pod)
    assert "affinity" not in pod["spec"]
    assert server["resources"]["limits"] == {"cpu": "120m", "memory": "128Mi", "ephemeral-storage": "1Gi"}
    assert (server["command"], server["args"]) == (["python3", "-m", "http.server"], ["8000"])
    cpu = render(CHART / "ci" / "deployment-values.yaml", release="x", values={"gpu": {"count": 0}})
    given = args(containers(one(cpu, "Deployment")["spec"]["template"])[1])
    assert not {"tensor-parallel-size", "gpu-memory-utilization"} & given.keys()


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_every_container_is_confined(kind: str) -> None:
    """Non-root, nothing to gain, nothing to write but its volumes; limits for everything, below 1.2 times."""
    objects = render(MODEL, values={"server": {"kind": kind}, "weights": {"stage": "init"}, "files": ON})
    seen = set()
    for o, pod in pods(objects):
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] and context["fsGroup"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["spec"]["enableServiceLinks"]
        for c in containers(pod):
            seen.add(c["name"])
            assert c["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            resources = c["resources"]
            assert resources["requests"].keys() == resources["limits"].keys()
            assert {"cpu", "memory", "ephemeral-storage"} <= resources["limits"].keys()
            assert all(isinstance(q, str) for kind in resources.values() for q in kind.values())
            if c["name"] not in ("server", "weights", "autostop"):
                assert resources["limits"] == {"cpu": "1", "memory": "2G", "ephemeral-storage": "1Gi"}
            if c["name"] != "server":
                assert resources["requests"] == resources["limits"]
            # Programs that keep something keep it under their home.
            if c["name"] not in ("files", "autostop"):
                assert {"name": "HOME", "value": "/tmp"} in c["env"]
                assert "/tmp" in [m["mountPath"] for m in c["volumeMounts"]]
        volumes = {v["name"] for v in pod["spec"].get("volumes", [])}
        assert {m["name"] for c in containers(pod) for m in c.get("volumeMounts", [])} <= volumes
        if o["kind"] == "Job":
            assert pod["spec"]["restartPolicy"] == "Never"
            assert o["spec"]["activeDeadlineSeconds"] < 86400
            assert {"backoffLimit", "ttlSecondsAfterFinished"} <= o["spec"].keys()
    clients = (
        {"probe", "query", "autostop"}
        if kind == "Deployment"
        else {"study1-exp1", "study1-exp2", "study2-exp1", "study2-exp2"}
    )
    assert seen == {"server", "weights", "files"} | clients


def test_differences_of_the_server_alone() -> None:
    """An image that must be root is root, and nothing else is."""
    values = {"server": {"podSecurityContext": {"runAsNonRoot": False, "runAsUser": 0}}}
    objects = render(MODEL, values=values)
    for o, pod in pods(objects):
        context = pod["spec"]["securityContext"]
        assert context["runAsUser"] == (0 if o["kind"] == "Deployment" else 2000)
        assert context["fsGroup"] == 2000


def test_only_clients_reach_the_server_and_only_the_server_is_reached() -> None:
    """Whose pods each policy selects, and whom it lets in and out."""
    objects = render(MODEL, values={"files": ON, "weights": {"stage": "job"}})
    inward, outward = of(objects, "NetworkPolicy", "server")[0], of(objects, "NetworkPolicy", "query")[0]
    (rule,) = inward["spec"]["ingress"]
    let_in = {f["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for f in rule["from"]}
    assert let_in == {"query", "test"}
    assert all(
        f["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "gemma-9b" for f in rule["from"]
    )
    # The download is in the server's pod.
    assert inward["spec"]["policyTypes"] == ["Ingress"]
    assert outward["spec"]["ingress"] == []
    to_server, to_names = outward["spec"]["egress"]
    assert to_server["to"][0]["podSelector"]["matchLabels"] == selectors(inward)
    assert {(p["port"], p["protocol"]) for p in to_names["ports"]} == {(53, "UDP"), (53, "TCP")}
    (expression,) = outward["spec"]["podSelector"]["matchExpressions"]
    assert set(expression["values"]) == {"query", "test", "files"}
    (alone,) = of(render(MODEL, values={"server": {"kind": "Job"}}), "NetworkPolicy", "server")
    assert alone["spec"]["ingress"] == []


def test_ports_name_their_protocol() -> None:
    """Kubernetes 1.20 asks for it when Helm applies on the server."""
    objects = render(MODEL, kube="1.20.2")
    (port,) = one(objects, "Service")["spec"]["ports"]
    assert port == {"name": "http", "port": 8000, "targetPort": "http", "protocol": "TCP"}
    (port,) = containers(one(objects, "Deployment")["spec"]["template"])[-1]["ports"]
    assert port["protocol"] == "TCP"


@pytest.mark.parametrize(
    ("version", "new"),
    [
        ("1.20.2", set()),
        ("1.25.16", set()),
        ("1.26.0", {"podFailurePolicy"}),
        ("1.28.15", {"podFailurePolicy"}),
        ("1.29.0", {"podFailurePolicy", "podReplacementPolicy"}),
        ("1.33.1-gke.100", {"podFailurePolicy", "podReplacementPolicy"}),
    ],
)
def test_new_fields_only_where_they_are_known(version: str, new: set[str]) -> None:
    """Bad input fails a Job at once, a disruption costs no retry, and a file never has two writers."""
    values = {"weights": {"stage": "job"}, "autoStop": False}
    for job in of(render(MODEL, kube=version, values=values), "Job"):
        assert {"podFailurePolicy", "podReplacementPolicy"} & job["spec"].keys() == new
        if "podFailurePolicy" in new:
            fail, ignore = job["spec"]["podFailurePolicy"]["rules"]
            (container,) = containers(job["spec"]["template"])
            assert fail["action"] == "FailJob"
            assert fail["onExitCodes"] == {
                "containerName": container["name"],
                "operator": "In",
                "values": [2],
            }
            assert ignore["action"] == "Ignore"
            assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
        if "podReplacementPolicy" in new:
            assert job["spec"]["podReplacementPolicy"] == "Failed"


def test_server_and_clients_in_one_pod_that_ends() -> None:
    """The server is a sidecar, so the pod ends with its clients; nothing else of the server stays."""
    values = {"server": {"kind": "Job"}}
    for version in ("1.29", NEWEST):
        objects = render(MODEL, values=values, kube=version)
        for o in objects:
            validate(o, version)
        assert not of(objects, "Deployment") and not of(objects, "Service")
        job = one(objects, "Job")
        spec = job["spec"]["template"]["spec"]
        assert [c["name"] for c in spec["initContainers"]] == ["weights", "server"]
        assert [c.get("restartPolicy") for c in spec["initContainers"]] == [None, "Always"]
        assert [c["args"][1] for c in spec["containers"]] == [
            "study1-exp1",
            "study1-exp2",
            "study2-exp1",
            "study2-exp2",
        ]
        assert {args(c)["server"] for c in spec["containers"]} == {"http://127.0.0.1:8000"}
        failing = [r["onExitCodes"]["containerName"] for r in job["spec"]["podFailurePolicy"]["rules"][:-1]]
        assert failing == ["weights", *(c["name"] for c in spec["containers"])]


def test_reasoning_is_declared_to_the_clients() -> None:
    """The model's effort, and whether each experiment reasons; otherwise nothing. A bare `on` is `true`."""
    told = "queries: {experiments: {study1-exp2: {reasoning: on}}}"
    for values, effort in ((VALUES / "gpt-oss-20b.yaml", "medium"), (MODEL, None)):
        jobs = of(render(values, values=told), "Job", "query")
        for given in (args(container) for job in jobs for container in containers(job["spec"]["template"])):
            assert given.get("reasoning-effort") == effort
            assert given.get("reasoning") == ("on" if "/study1-exp2/" in given["out"] else None)


def test_replicates_in_pods_of_their_own() -> None:
    """Each index has its folder and its seed, which no other base seed gives."""
    indexed = {"indexed": True, "replicates": 3, "seed": 4}
    objects = render(MODEL, values={"queries": {"experiments": {"study1-exp1": indexed}}})
    job = next(j for j in of(objects, "Job", "query") if "study1-exp1" in j["metadata"]["name"])
    assert (job["spec"]["completionMode"], job["spec"]["completions"]) == ("Indexed", 3)
    (client,) = containers(job["spec"]["template"])
    assert args(client)["out"] == "/output/study1-exp1/gemma-9b/gemma-9b/replicate-$(JOB_COMPLETION_INDEX)"
    assert (args(client)["seed"], args(client)["replicates"]) == ("4$(JOB_COMPLETION_INDEX)", "1")


def test_trials_from_three_places(tmp_path: Path) -> None:
    """From a file beside Helm, from the input claim, from the image; a changed list is another Job."""
    text = (ROOT / "data" / "study1.csv").read_bytes().decode()
    mine = tmp_path / "mine.csv"
    mine.write_bytes(text.encode())
    values = {"queries": {"trials": {"fromInput": {"study2": "lists/b.csv"}}}}
    objects = render(MODEL, values=values, options=("--set-file", f"queries.trials.study1={mine}"))
    given = {
        c["args"][1]: args(c)["trials"]
        for j in of(objects, "Job", "query")
        for c in containers(j["spec"]["template"])
    }
    assert given["study1-exp1"] == given["study1-exp2"] == "/trials/study1.csv"
    assert given["study2-exp1"] == given["study2-exp2"] == "/input/lists/b.csv"
    assert one(objects, "ConfigMap", "query")["data"] == {"study1.csv": text}
    mine.write_bytes(text.replace("\n", "\n\n", 1).encode())
    printed.cache_clear()
    changed = render(MODEL, values=values, options=("--set-file", f"queries.trials.study1={mine}"))
    assert not {j["metadata"]["name"] for j in of(objects, "Job", "query")} & {
        j["metadata"]["name"] for j in of(changed, "Job", "query")
    }


def test_an_upgrade_replaces_what_changed() -> None:
    """A Job cannot be changed: another one has another name, and the same one keeps its name."""

    def jobs(**values: Any) -> dict[str, str]:
        found = of(render(MODEL, values=values), "Job", "query")
        return {j["metadata"]["labels"]["grace/experiment"]: j["metadata"]["name"] for j in found}

    before = jobs()
    assert before == jobs(server={"resources": {"limits": {"memory": "70Gi"}}})
    after = jobs(queries={"experiments": {"study1-exp1": {"temperature": 1}}})
    assert {e for e in before if before[e] != after[e]} == {"study1-exp1"}


def test_a_key_of_ones_own() -> None:
    """The server reads it as a variable, a client from a file; nothing is generated."""
    own = {"server": {"apiKey": {"existingSecret": "mine", "key": "k"}}, "autoStop": False}
    objects = render(MODEL, values=own)
    assert not of(objects, "Secret")
    server = containers(one(objects, "Deployment")["spec"]["template"])[-1]
    key = next(e for e in server["env"] if e["name"] == "VLLM_API_KEY")
    assert key["valueFrom"]["secretKeyRef"] == {"name": "mine", "key": "k"}
    for job in of(objects, "Job"):
        (client,) = containers(job["spec"]["template"])
        assert args(client)["api-key-file"] == "/etc/grace/api-key/k"
        volume = next(v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "api-key")
        assert volume["secret"]["secretName"] == "mine"


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_without_a_cluster_no_key_is_drawn(kind: str, helm: str) -> None:
    """Two renderings are equal; a note stands for the Secret, and pods wait for one of its name."""
    asked = ("template", "x", CHART, "-n", "lab", "-f", MODEL, "--set", f"server.kind={kind}")
    text = run(helm, *asked, "--kube-version", "1.29")
    assert text == run(helm, *asked, "--kube-version", "1.29")
    assert "# The Secret secret-gemma-9b-api-key is not rendered" in text
    assert "kind: Secret" not in text and "checksum/api-key" not in text
    assert "secretName: secret-gemma-9b-api-key" in text


@pytest.mark.parametrize("helm", HELMS)
def test_a_tool_that_applies_what_it_renders_must_name_a_key(helm: str) -> None:
    """Argo CD hands over what the cluster offers, kinds too, and Helm finds nothing there."""
    offered = ("--api-versions", "v1/Secret,apps/v1/Deployment")
    with pytest.raises(
        RefusedError,
        match=r"server\.apiKey\.existingSecret is empty: .* as by Argo CD, .*kubectl create secret",
    ):
        render(MODEL, helm=helm, options=offered)
    own = {"server": {"apiKey": {"existingSecret": "mine"}}}
    assert render(MODEL, helm=helm, values=own, options=offered)
    assert render(MODEL, helm=helm, options=("--api-versions", "monitoring.coreos.com/v1/PodMonitor"))


def test_a_busy_engine_is_left_alone() -> None:
    """Five minutes without an answer before a restart; a stopping server finishes what it answers."""
    pod = one(render(MODEL), "Deployment")["spec"]["template"]["spec"]
    server = pod["containers"][0]
    live = server["livenessProbe"]
    assert live["periodSeconds"] * live["failureThreshold"] >= 300
    assert live["timeoutSeconds"] >= 30
    assert pod["terminationGracePeriodSeconds"] > int(args(server)["shutdown-timeout"])
    shm = next(v for v in pod["volumes"] if v["name"] == "shm")
    assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}


def test_helm_test_is_a_job_that_asks_one_question() -> None:
    """Bare pods are against the rules."""
    job = one(render(MODEL), "Job", "test")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (probe,) = containers(job["spec"]["template"])
    assert probe["args"] == [
        "probe",
        "--server=http://service-gemma-9b:8000",
        "--model=gemma-9b",
        "--api-key-file=/etc/grace/api-key/api-key",
        "--wait-for-server=5",
    ]
    assert not of(render(MODEL, values={"test": {"enabled": False}}), "Job", "test")


def test_what_is_added_is_added() -> None:
    """Objects, labels, variables, volumes and monitors."""
    objects = render(CHART / "ci" / "job-values.yaml", release="x")
    assert one(objects, "PodMonitor")["metadata"]["labels"]["release"] == "prometheus"
    assert next(o for o in objects if o["metadata"]["name"] == "extra-x")["data"] == {"model": "smollm2"}
    for o, pod in pods(objects):
        assert o["metadata"]["labels"]["team"] == pod["metadata"]["labels"]["team"] == "language"
    job = next(o for o in of(objects, "Job", "server"))
    server = job["spec"]["template"]["spec"]["initContainers"][-1]
    assert {"name": "VLLM_BATCH_INVARIANT", "value": "1"} in server["env"]
    assert {"name": "templates", "mountPath": "/templates"} in server["volumeMounts"]
    assert job["spec"]["template"]["metadata"]["annotations"] == {"example.org/note": "batch"}


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_the_notes_name_what_is_there(kind: str) -> None:
    """The checklist has the release's own names, and no registry is assumed."""
    shown = notes(json.dumps({"server": {"kind": kind}}))
    for heading in ("WATCH", "DIAGNOSE", "FETCH", "UNINSTALL"):
        assert f"\n{heading}\n" in shown
    assert "kubectl delete pvc -n lab pvc-model-weights-gemma-9b" in shown
    assert "kubectl delete job -n lab job-files-gemma-9b" in shown
    assert ("helm test gemma-9b -n lab" in shown) is (kind == "Deployment")
    assert "helm uninstall gemma-9b -n lab --cascade foreground --wait" in shown
    assert "queries.image.registry=REGISTRY" in shown
    assert "<no value>" not in shown and "%!" not in shown
    pushed = notes(json.dumps({"queries": {"image": {"registry": "registry.example.org/lab"}}}))
    assert "queries.image.registry=REGISTRY" not in pushed
    assert "key is in the Secret secret-gemma-9b-api-key, and helm upgrade keeps it" in shown
    own = notes(json.dumps({"server": {"kind": kind, "apiKey": {"existingSecret": "mine", "key": "k"}}}))
    assert "The key is k of your Secret mine." in own
    assert "kubectl create secret generic mine -n lab --from-literal=k=" in own


def notes(values: str) -> str:
    """What an installation prints at its end."""
    try:
        shown = run(
            "helm",
            "install",
            "gemma-9b",
            CHART,
            "-n",
            "lab",
            "--dry-run=client",
            "-f",
            MODEL,
            "-f",
            "-",
            stdin=values,
        )
    except RefusedError as error:
        raise AssertionError(str(error)) from None
    return shown.partition("NOTES:")[2]
