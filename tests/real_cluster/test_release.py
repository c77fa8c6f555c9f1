"""A release comes, changes, goes and comes again; releases beside each other and failed ones do no harm."""

from __future__ import annotations

import base64
import json

from tests.real_cluster import images
from tests.real_cluster.kube import CHART, EVERYTHING, SMALL, Json, Kube, component, instance

CLAIMS = {"input", "output", "logs"}
KEPT = {f"persistentvolumeclaim/pvc-grace-{purpose}" for purpose in CLAIMS}
WEIGHTS = "persistentvolumeclaim/pvc-model-weights-"
QUICK = ("--set", "queries.experiments.study1-exp2.sample=5")


def server(kube: Kube, release: str) -> Json:
    (pod,) = kube.get("pods", component(release, "server"))
    return pod


def key(kube: Kube, secret: str = "secret-fake-api-key") -> str:
    return kube.kubectl("get", "secret", secret, "--output", "jsonpath={.data.api-key}")


def claims(kube: Kube) -> dict[str, str]:
    """Names and uids."""
    return {
        claim["metadata"]["name"]: claim["metadata"]["uid"] for claim in kube.get("persistentvolumeclaims")
    }


def gpus(kube: Kube) -> int:
    """GPUs that pods hold."""
    limits = [c["resources"].get("limits", {}) for pod in kube.get("pods") for c in pod["spec"]["containers"]]
    return sum(int(n) for one in limits for name, n in one.items() if name.startswith("nvidia.com/"))


def test_the_life_of_a_release(kube: Kube) -> None:
    """Install, helm test, upgrade, rollback, uninstall: the claims are left; the next release finds them."""
    kube.install("life", *QUICK)
    first = server(kube, "life")
    assert gpus(kube) == 1
    query = kube.query_job("life")
    assert kube.finished(query, 120), kube.log(query)
    kube.helm("test", "life", "--timeout", "400s")
    secret, uids = key(kube), claims(kube)
    assert len(base64.b64decode(secret)) == 40

    # A change of the clients makes another Job and leaves server and key alone.
    kube.install("life", *QUICK, "--set", "queries.backoffLimit=3", verb="upgrade")
    assert server(kube, "life")["metadata"]["uid"] == first["metadata"]["uid"]
    assert kube.query_job("life") != query
    assert kube.finished(kube.query_job("life"), 60)
    assert (key(kube), claims(kube)) == (secret, uids)

    # A change of the server replaces it; the old one goes first, so that never two hold GPUs.
    kube.install("life", *QUICK, "--set", "server.extraArgs={--seed=1}", verb="upgrade")
    kube.until(lambda: len(kube.get("pods", component("life", "server"))) == 1, 60, "a single server")
    assert server(kube, "life")["metadata"]["uid"] != first["metadata"]["uid"]
    assert key(kube) == secret

    kube.helm("rollback", "life", "1", "--wait", "--timeout", "400s")
    assert kube.query_job("life") == query
    kube.until(lambda: len(kube.get("pods", component("life", "server"))) == 1, 60, "a single server")
    assert "--seed=1" not in server(kube, "life")["spec"]["containers"][0]["args"]
    assert (key(kube), claims(kube)) == (secret, uids)

    kube.uninstall("life")
    assert kube.names(EVERYTHING) == KEPT | {f"{WEIGHTS}fake"}
    assert gpus(kube) == 0

    kube.install("life", *QUICK)
    assert claims(kube) == uids
    pod = server(kube, "life")["metadata"]["name"]
    assert "complete, nothing to download" in kube.kubectl("logs", pod, "--container", "weights")
    again = kube.query_job("life")
    assert kube.finished(again, 60)
    assert "0 to ask" in kube.log(again)


def test_helm_3(kube: Kube) -> None:
    """Install, helm test, upgrade and uninstall with the Helm that many still have."""
    kube = Kube(kube.env, "helm3")
    kube.install("life", *QUICK)
    kube.helm("test", "life", "--timeout", "400s")
    secret, query, first = key(kube), kube.query_job("life"), server(kube, "life")
    assert kube.finished(query, 90)

    # A new key is one for the server and for the clients.
    kube.kubectl("delete", "secret", "secret-fake-api-key")
    kube.install("life", *QUICK, verb="upgrade")
    assert key(kube) != secret
    kube.until(lambda: len(kube.get("pods", component("life", "server"))) == 1, 60, "a single server")
    assert server(kube, "life")["metadata"]["uid"] != first["metadata"]["uid"]
    assert kube.query_job("life") != query
    assert kube.finished(kube.query_job("life"), 90), kube.log(kube.query_job("life"))
    kube.uninstall("life")
    assert kube.names(EVERYTHING) == KEPT | {f"{WEIGHTS}fake"}


def test_a_release_that_is_rendered_and_applied(kube: Kube) -> None:
    """It is rendered alike each time, waits for the Secret that it names, and asks with the key in there."""
    command = ["template", "life", str(CHART), "--values", str(SMALL), "--kube-version", "1.20.2", *QUICK]
    command += [
        "--namespace",
        kube.namespace,
        "--set",
        "server.apiKey.existingSecret=mine,test.enabled=false",
    ]
    rendered = kube.helm(*command)
    assert kube.helm(*command) == rendered
    kube.kubectl("apply", "--filename", "-", stdin=rendered)

    def waits() -> bool:
        """The server's container, after its weights have come."""
        states = [c["state"] for pod in kube.get("pods", component("life", "server")) for c in statuses(pod)]
        reasons = [state.get("waiting", {}).get("reason") for state in states]
        return "CreateContainerConfigError" in reasons

    kube.until(waits, 90, "a server that waits for its key")
    kube.kubectl("create", "secret", "generic", "mine", "--from-literal=api-key=" + "k" * 40)
    assert kube.finished(kube.query_job("life"), 120), kube.log(kube.query_job("life"))
    kube.kubectl("apply", "--filename", "-", stdin=rendered)
    assert len(kube.get("jobs", component("life", "query"))) == 1
    kube.kubectl("delete", "--filename", "-", "--wait=false", stdin=rendered)


def statuses(pod: Json) -> list[Json]:
    found: list[Json] = pod["status"].get("containerStatuses", [])
    return found


def test_two_releases_in_one_namespace(kube: Kube) -> None:
    """Each server has its own clients only, both share the output claim, and one survives the other."""
    for name in ("left", "right"):
        kube.install(name, "--set", f"model.name={name}", *QUICK)
        assert kube.finished(kube.query_job(name), 90)
    pods = {name: server(kube, name) for name in ("left", "right")}
    for name, pod in pods.items():
        # By what the Service selects, not by what the chart says that it should.
        (service,) = kube.get("services", instance(name))
        (endpoints,) = kube.get("endpoints", instance(name))
        selector = ",".join(f"{label}={value}" for label, value in service["spec"]["selector"].items())
        assert [found["metadata"]["name"] for found in kube.get("pods", selector)] == [
            pod["metadata"]["name"]
        ]
        addresses = [address["ip"] for subset in endpoints["subsets"] for address in subset["addresses"]]
        assert addresses == [pod["status"]["podIP"]]
        only_own_clients(kube, name)
    only_the_right_key(kube, "left")
    assert KEPT | {f"{WEIGHTS}left", f"{WEIGHTS}right"} == kube.names("pvc")

    kube.uninstall("left")
    kube.helm("test", "right", "--timeout", "400s")
    assert server(kube, "right")["metadata"]["uid"] == pods["right"]["metadata"]["uid"]
    assert KEPT | {f"{WEIGHTS}left", f"{WEIGHTS}right"} == kube.names("pvc")
    # The claims that the first release made are nobody's now, and the second may change and go.
    kube.install(
        "right", "--set", "model.name=right", *QUICK, "--set", "queries.backoffLimit=3", verb="upgrade"
    )
    kube.uninstall("right")
    kube.kubectl("delete", "jobs,secrets", "probe-0", "probe-2", "wrong", "--ignore-not-found")
    left = KEPT | {f"{WEIGHTS}left", f"{WEIGHTS}right"}
    kube.until(lambda: kube.names(EVERYTHING) == left, 30, "nothing but claims")


def only_own_clients(kube: Kube, name: str) -> None:
    """As far as objects can tell: this cluster does not enforce a NetworkPolicy."""
    found = kube.get("networkpolicies", instance(name))
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in found}
    assert set(policies) == {f"networkpolicy-{name}-server", f"networkpolicy-{name}-clients"}
    guard = policies[f"networkpolicy-{name}-server"]
    assert selected(kube, guard["podSelector"]) == {server(kube, name)["metadata"]["name"]}
    (rule,) = guard["ingress"]
    assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]
    allowed = set().union(*(selected(kube, peer["podSelector"]) for peer in rule["from"]))
    query = kube.query_job(name)
    assert allowed == {pod["metadata"]["name"] for pod in kube.get("pods", f"job-name={query}")}
    clients = policies[f"networkpolicy-{name}-clients"]
    assert not clients.get("ingress")
    assert "Ingress" in clients["policyTypes"] and "Egress" in clients["policyTypes"]
    to = [peer for rule in clients["egress"] for peer in rule.get("to", [])]
    reached = set().union(*(selected(kube, peer["podSelector"]) for peer in to))
    assert reached == selected(kube, guard["podSelector"])


def only_the_right_key(kube: Kube, name: str) -> None:
    """A wrong key is refused by the server, and by the client for good: a retry would not help."""
    wrong = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong"}}
    wrong |= {"stringData": {"api-key": "wrong"}}
    kube.kubectl("apply", "--filename", "-", stdin=json.dumps(wrong))
    command = ["probe", f"--server=http://service-{name}:8000", f"--model={name}"]
    command.append("--api-key-file=/key/api-key")
    codes = {f"secret-{name}-api-key": 0, "wrong": 2}
    for secret, code in codes.items():
        mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "key", "mountPath": "/key"}]
        volume = {"name": "key", "secret": {"secretName": secret}}
        kube.run_job(f"probe-{code}", images.CLIENT, command, volumeMounts=mounts, volumes=[volume])
    for code in codes.values():
        assert kube.finished(f"probe-{code}", 60) == (code == 0), kube.log(f"probe-{code}")
        assert kube.exit_codes(f"probe-{code}") == [code]


def selected(kube: Kube, selector: Json) -> set[str]:
    """Names of the pods that a selector of labels means; of expressions only ``In``."""
    terms = [f"{label}={value}" for label, value in selector.get("matchLabels", {}).items()]
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        terms.append(f"{expression['key']} in ({','.join(expression['values'])})")
    return {pod["metadata"]["name"] for pod in kube.get("pods", ",".join(terms))}


def test_a_failed_install_blocks_nothing(kube: Kube) -> None:
    """An image or a model that does not exist: the next install is like any other."""
    sets = ("--set", "server.image.tag=no-such-tag", *QUICK)
    small = ("--values", str(SMALL))
    undo = ("--rollback-on-failure", "--timeout", "5s")
    said = kube.refused("install", "life", str(CHART), *small, *sets, *undo).said
    assert "life" in said
    # What Kubernetes itself clears away goes a moment later.
    going = ("pod/", "replicaset.apps/")
    left = {name for name in kube.names(EVERYTHING) if not name.startswith(going)}
    assert left == KEPT | {f"{WEIGHTS}fake"}

    # Without undoing it, as in most examples; what failed is corrected in place.
    kube.refused("install", "life", str(CHART), *small, *sets, "--wait", "--timeout", "5s")
    kube.install("life", *QUICK, "--install", verb="upgrade")
    assert kube.finished(kube.query_job("life"), 90)
    kube.uninstall("life")
    kube.kubectl("delete", "pvc", "pvc-model-weights-fake")

    # The weights come before anything that holds a GPU.
    stage = ("--set", "weights.stage=job", *QUICK)
    wrong = ("--set", "model.repository=example/no-such-model", "--set", "weights.job.backoffLimit=0")
    kube.refused("install", "life", str(CHART), *small, *stage, *wrong, "--timeout", "240s")
    assert "example/no-such-model@main does not exist" in kube.log("job-weights-fake")
    assert not kube.get("deployments") and gpus(kube) == 0
    kube.install("life", *stage, "--install", verb="upgrade")
    assert kube.finished(kube.query_job("life"), 90)
    pod = server(kube, "life")["metadata"]["name"]
    found = kube.kubectl(
        "exec", pod, "--container", "server", "--", "find", "/weights/hub", "-name", "*.safetensors"
    )
    assert "models--example--fake/" in found
