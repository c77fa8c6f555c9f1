"""What a release finds in its namespace: claims and keys of earlier and other releases.

Helm asks a stand-in for the API server, which holds a few objects and answers reads. Helm 4 then also refuses
what it could not own, as an installation would.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import CHART, HELMS, NAMESPACE, VALUES, Object, RefusedError, of, one, pods, run

KINDS = {
    "v1": {"PersistentVolumeClaim": "persistentvolumeclaims", "Secret": "secrets", "Service": "services"}
    | {"ConfigMap": "configmaps", "ServiceAccount": "serviceaccounts"},
    "apps/v1": {"Deployment": "deployments"},
    "batch/v1": {"Job": "jobs"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "rbac.authorization.k8s.io/v1": {"Role": "roles", "RoleBinding": "rolebindings"},
}
CLAIM = "persistentvolumeclaims/pvc-grace-output"
SECRET = "secrets/secret-gemma-9b-api-key"
ROOT_CA = "configmaps/kube-root-ca.crt"
WEIGHTS = "persistentvolumeclaims/pvc-model-weights-gemma-9b"


class Cluster(ThreadingHTTPServer):
    """An API server whose objects are `objects`, by plural and name."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.objects: dict[str, Object] = {}
        self.kubeconfig = kubeconfig
        url = f"http://127.0.0.1:{self.server_port}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
        }
        kubeconfig.write_text(json.dumps(config))
        # Every namespace has it.
        self.hold(ROOT_CA)

    def install(self, helm: str = "helm", release: str = "gemma-9b", **values: Any) -> list[Object]:
        """What would be installed now."""
        text = run(
            helm,
            *("template", release, str(CHART), "-n", NAMESPACE, "--dry-run=server"),
            *("--kubeconfig", str(self.kubeconfig), "--disable-openapi-validation"),
            *("-f", str(VALUES / "gemma-9b.yaml"), "-f", "-"),
            stdin=json.dumps(values),
        )
        return [document for document in yaml.safe_load_all(text) if document]

    def hold(self, path: str, owner: str | None = None, **metadata: Any) -> Object:
        """Put an object into the cluster, as a release would have left it."""
        if owner:
            metadata["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
            metadata["annotations"] = metadata.get("annotations", {}) | {
                "meta.helm.sh/release-name": owner,
                "meta.helm.sh/release-namespace": NAMESPACE,
            }
        self.objects[path] = {"metadata": {"name": path.partition("/")[2], **metadata}}
        return self.objects[path]


class Answer(BaseHTTPRequestHandler):
    """Discovery, and objects by name."""

    server: Cluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        body: Object | None = None
        if path == "version":
            body = {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}
        elif path == "api":
            body = {"kind": "APIVersions", "versions": ["v1"]}
        elif path == "apis":
            groups = [
                {"name": g, "versions": [{"groupVersion": f"{g}/v1", "version": "v1"}]}
                | {"preferredVersion": {"groupVersion": f"{g}/v1", "version": "v1"}}
                for g in (version.partition("/")[0] for version in KINDS if "/" in version)
            ]
            body = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        elif (version := path.removeprefix("apis/").removeprefix("api/")) in KINDS:
            resources = [
                {
                    "name": plural,
                    "kind": kind,
                    "namespaced": True,
                    "singularName": "",
                    "verbs": ["get", "list"],
                }
                for kind, plural in KINDS[version].items()
            ]
            body = {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
        else:
            for version, kinds in KINDS.items():
                for kind, plural in kinds.items():
                    prefix = (
                        f"{'apis' if '/' in version else 'api'}/{version}/namespaces/{NAMESPACE}/{plural}/"
                    )
                    if path.startswith(prefix) and (
                        found := self.server.objects.get(f"{plural}/{path[len(prefix) :]}")
                    ):
                        body = {"apiVersion": version, "kind": kind, **found}
        code = 200 if body else 404
        text = json.dumps(
            body
            or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"}
        )
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    server = Cluster(tmp_path / "kubeconfig")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def claims(objects: list[Object]) -> set[str]:
    return {o["metadata"]["name"] for o in of(objects, "PersistentVolumeClaim")}


ALL = {"pvc-grace-input", "pvc-grace-output", "pvc-grace-logs", "pvc-model-weights-gemma-9b"}


@pytest.mark.parametrize("helm", HELMS)
def test_the_first_release_makes_the_claims_and_the_next_finds_them(cluster: Cluster, helm: str) -> None:
    """A claim that another release owns, or nobody, is left alone; one's own stays in the release."""
    assert claims(cluster.install(helm)) == ALL
    cluster.hold(CLAIM, owner="llama-8b")
    cluster.hold(WEIGHTS)
    objects = cluster.install(helm)
    assert claims(objects) == ALL - {"pvc-grace-output", "pvc-model-weights-gemma-9b"}
    assert "pvc-grace-output" in json.dumps(of(objects, "Job"))
    cluster.hold(CLAIM, owner="gemma-9b")
    assert claims(cluster.install(helm)) == ALL - {"pvc-model-weights-gemma-9b"}


def test_a_claim_that_is_going_is_waited_for(cluster: Cluster) -> None:
    """A new release would adopt it and hang."""
    cluster.hold(CLAIM, deletionTimestamp="2026-11-01T00:00:00Z")
    with pytest.raises(RefusedError, match=r"deleting the claim pvc-grace-output.*kubectl get pvc"):
        cluster.install()


def marks(objects: list[Object]) -> set[str | None]:
    """What pods that read the key say of it."""
    return {
        pod["metadata"].get("annotations", {}).get("checksum/api-key")
        for o, pod in pods(objects)
        if o["metadata"]["labels"]["app.kubernetes.io/component"] in ("server", "query")
    }


def jobs(objects: list[Object]) -> set[str]:
    return {job["metadata"]["name"] for job in of(objects, "Job", "query")}


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.mark.parametrize("helm", HELMS)
def test_a_new_release_draws_one_key(cluster: Cluster, helm: str) -> None:
    """Forty characters, others each time; server, Jobs and those who look at the Jobs agree on it."""
    drawn = []
    for _ in range(2):
        objects = cluster.install(helm)
        drawn.append(one(objects, "Secret")["data"]["api-key"])
        assert len(base64.b64decode(drawn[-1])) == 40
        assert marks(objects) == {hashlib.sha256(drawn[-1].encode()).hexdigest()}
        assert set(one(objects, "Role")["rules"][0]["resourceNames"]) == jobs(objects)
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_the_key_stays_over_upgrades(cluster: Cluster, kind: str, helm: str) -> None:
    """And with it every pod; a changed Secret replaces server and Jobs, which then have other names."""
    values: dict[str, Any] = {"server": {"kind": kind, "podAnnotations": {"example.org/note": "x"}}}
    cluster.hold(SECRET, owner="gemma-9b")["data"] = {"api-key": encoded(b"kept")}
    before = cluster.install(helm, **values)
    assert one(before, "Secret")["data"] == {"api-key": encoded(b"kept")}
    assert cluster.install(helm, **values) == before
    cluster.hold(SECRET, owner="gemma-9b")["data"] = {"api-key": encoded(b"changed")}
    after = cluster.install(helm, **values)
    (old,), (new,) = marks(before), marks(after)
    assert old and new and old != new
    names = [{o["metadata"]["name"] for o in of(objects, "Job", "server")} for objects in (before, after)]
    assert not jobs(before) & jobs(after) and not names[0] & names[1]


def test_a_key_of_ones_own_that_was_changed(cluster: Cluster) -> None:
    """It replaces the server, too; its checksum alone tells nobody who tries words what it is."""
    own: dict[str, Any] = {"server": {"apiKey": {"existingSecret": "mine"}}}
    assert marks(cluster.install(**own)) == {None}
    found: list[str | None] = []
    for key in (b"word", b"word", b"other"):
        cluster.hold("secrets/mine", uid="9f0c")["data"] = {"api-key": encoded(key)}
        objects = cluster.install(**own)
        assert not of(objects, "Secret")
        found += marks(objects)
    assert found[0] == found[1] != found[2]
    guesses = {hashlib.sha256(text).hexdigest() for text in (b"word", encoded(b"word").encode())}
    assert found[0] not in guesses


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            {"token": encoded(b"x")},
            r"has no key api-key, or the key is empty; set server.apiKey.key to .*\(token\)",
        ),
        ({"api-key": ""}, "has no key api-key, or the key is empty"),
        ({"api-key": encoded(b"x\n")}, "contains a space or a line break"),
    ],
    ids=["another name", "empty", "a line break"],
)
def test_a_key_of_ones_own_that_cannot_be_used(cluster: Cluster, data: dict[str, str], says: str) -> None:
    """Found before a GPU is asked for."""
    cluster.hold("secrets/mine", uid="9f0c")["data"] = data
    with pytest.raises(RefusedError, match=f"existingSecret is mine: .*{says}"):
        cluster.install(server={"apiKey": {"existingSecret": "mine"}})


def test_weights_beforehand_only_while_their_claim_is_free(cluster: Cluster) -> None:
    """Not while a server runs; and a claim that exists is never a hook, which would be made anew."""
    stage: dict[str, Any] = {"weights": {"stage": "job"}}
    first = cluster.install(**stage)
    assert of(first, "Job", "weights")
    assert "helm.sh/hook" in one(first, "PersistentVolumeClaim", "weights")["metadata"]["annotations"]
    cluster.hold(WEIGHTS, owner="gemma-9b")
    again = cluster.install(**stage)
    assert of(again, "Job", "weights") and not of(again, "PersistentVolumeClaim", "weights")
    cluster.hold(
        "deployments/deployment-gemma-9b",
        owner="gemma-9b",
        annotations={"grace/weights": "google/gemma-2-9b-it@main"},
    )
    assert not of(cluster.install(**stage), "Job", "weights")
    with pytest.raises(RefusedError, match=r"the server that is running uses google/gemma-2-9b-it@main"):
        cluster.install(model={"revision": "v2"}, **stage)
    assert cluster.install(model={"revision": "v2"})
