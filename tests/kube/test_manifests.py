"""Reading manifests: every object of a stream, and where it stands."""

from __future__ import annotations

import pytest

from grace_client.core.errors import SpecError
from grace_client.kube.manifests import path_text, read_manifests

STREAM = """\
# a comment before everything
---
# Source: grace/templates/storage/shared.yaml
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: output
spec:
  storageClassName: rook-cephfs
---
---
# nothing but a comment
---
# Source: grace/templates/server/deployment.yaml
apiVersion: v1
kind: List
items:
  - kind: Deployment
    metadata: {name: a}
    spec:
      template:
        spec:
          containers:
            - name: vllm
              resources:
                limits: {cpu: 8}
  - kind: ConfigMapList
    items:
      - metadata: {name: b}
        data:
          x.y: |
            text
"""


def test_every_object_with_its_lines() -> None:
    """Of documents and of Lists, typed ones too."""
    manifests = read_manifests(STREAM, "file.yaml")
    assert [(m.kind, m.name, m.file) for m in manifests] == [
        ("PersistentVolumeClaim", "output", "file.yaml"),
        ("Deployment", "a", "file.yaml"),
        ("ConfigMap", "b", "file.yaml"),
    ]
    claim, deployment, config = manifests
    assert claim.line(("spec", "storageClassName")) == 9
    # A field that is not there stands where there is the most of the way to it.
    assert claim.line(("spec", "accessModes", 0)) == 8
    assert claim.line(("status",)) == 4
    container = ("spec", "template", "spec", "containers", 0)
    assert deployment.line(container) == 24
    assert deployment.line((*container, "resources", "limits", "cpu")) == 26
    assert deployment.line((*container, "resources", "requests")) == 25
    assert config.line(("data", "x.y")) == 31


def test_rendered_objects_name_their_template() -> None:
    """Lines of what helm prints mean nothing to the reader."""
    manifests = read_manifests(STREAM, "helm template x", rendered=True)
    assert [m.file for m in manifests] == [
        "grace/templates/storage/shared.yaml",
        "grace/templates/server/deployment.yaml",
        "grace/templates/server/deployment.yaml",
    ]
    assert [m.line(("kind",)) for m in manifests] == [None, None, None]


def test_json_is_yaml() -> None:
    """What `kubectl get -o json` prints can be checked too."""
    (manifest,) = read_manifests('{\n"kind": "Pod",\n"metadata": {"generateName": "x-"}}', "pod.json")
    assert (manifest.kind, manifest.name, manifest.line(("kind",))) == ("Pod", "x-*", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Pod\n  name: x\n", r"^f\.yaml:2: is not YAML: mapping values are not allowed"),
        ("kind: Pod\n---\nkind: [Pod\n", r"^f\.yaml:4: is not YAML"),
        ("kind: Pod\nspec: !Ref x\n", r"^f\.yaml:2: is not YAML: could not determine a constructor"),
        ("kind: Pod\nspec: *x\n", r"^f\.yaml:2: is not YAML: found undefined alias"),
        ("kind: Pod\nname: {{ .Values.name }}\n", r"^f\.yaml:2: is not YAML"),
        ("kind: Pod\nname: \x00\n", r"^f\.yaml: is not YAML: "),
        ("- kind: Pod\n", r"^f\.yaml:1: is not a Kubernetes object"),
        (
            "\n\nmodel: {name: x}\n",
            r"^f\.yaml:3: is not a Kubernetes object: it has no kind\.",
        ),
        ("kind: List\nitems:\n- kind: Pod\n- 3\n", r"^f\.yaml:4: is not a Kubernetes object"),
        ("just text", r"^f\.yaml:1: is not a Kubernetes object"),
    ],
)
def test_what_is_no_manifest_is_refused_with_file_and_line(text: str, message: str) -> None:
    """Never with a traceback."""
    with pytest.raises(SpecError, match=message):
        read_manifests(text, "f.yaml")


def test_paths_can_be_given_to_jq_and_yq() -> None:
    """Keys with dots and slashes are quoted."""
    assert path_text(("spec", "containers", 0, "image")) == "spec.containers[0].image"
    assert path_text(("limits", "nvidia.com/gpu")) == 'limits["nvidia.com/gpu"]'
    assert path_text(("limits", "ephemeral-storage")) == 'limits["ephemeral-storage"]'
