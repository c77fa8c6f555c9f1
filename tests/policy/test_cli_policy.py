"""`grace policy`, as a user meets it."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, grace

OLD = ROOT / "tests" / "policy" / "manifests"
CHART = ROOT / "tests" / "deploy" / "chart"
needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="there is no helm on the PATH")

RIGHT = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: results}
spec: {accessModes: [ReadWriteMany], storageClassName: rook-cephfs}
"""


def test_a_violation_exits_with_2_errors_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a pipe one line a finding: place, severity, rule, object, field, why, fix, source."""
    assert (
        grace(monkeypatch, "policy", "check", str(OLD / "old-server.yaml"), str(OLD / "old-queries.yaml"))
        == 2
    )
    *lines, summary = capsys.readouterr().out.splitlines()
    assert summary == "17 errors, 1 warning, 4 notes in 4 objects"
    severities = [line.split(": ")[1].split(" ")[0] for line in lines]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert (
        f"{OLD}/old-server.yaml:47: error P1 Deployment/gemma-27b "
        "spec.template.spec.containers[0].resources.limits.memory: container vllm: the memory limit 40Gi is "
        "over 1.2 × the request 32Gi, 125% of it. Fix: set the limit to at most 38Gi (1.2 × 32Gi = 38.4Gi), "
        "or the request to at least 34Gi. [NRP documentation, Cluster Policies, as read 2026-11]"
    ) in lines


def test_notes_exit_with_0_and_strict_counts_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard input by the name -."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(RIGHT))
    assert grace(monkeypatch, "policy", "check", "-", "--strict") == 0
    out = capsys.readouterr().out
    assert "standard input:4: note P11 PersistentVolumeClaim/results" in out
    assert out.endswith("0 errors, 1 note in 1 object\n")
    unsure = tmp_path / "unsure.yaml"
    unsure.write_text(RIGHT.replace(", storageClassName: rook-cephfs", ""))
    assert grace(monkeypatch, "policy", "check", str(unsure)) == 0
    assert grace(monkeypatch, "policy", "check", str(unsure), "--strict") == 2
    assert grace(monkeypatch, "policy", "check", str(unsure), "--strict", "--ignore", "p13") == 0


def test_json_of_a_check_and_of_the_rules(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is the same."""
    assert grace(monkeypatch, "policy", "check", str(OLD / "old-workspace.yaml"), "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["objects"], found["errors"], found["warnings"], found["notes"]) == (2, 3, 0, 2)
    assert [finding["rule"] for finding in found["findings"]] == ["P3", "P4", "P12", "P11", "P8"]
    assert grace(monkeypatch, "policy", "rules", "--json") == 0
    rules = json.loads(capsys.readouterr().out)
    assert [rule["rule"] for rule in rules] == [f"P{i}" for i in range(1, 22)]
    assert all(set(rule) == {"rule", "severity", "text", "undecided", "source", "reviewed"} for rule in rules)
    assert grace(monkeypatch, "policy", "rules") == 0
    assert "P20 error    Storage class ceph-rbd never binds.\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.yaml",), "none.yaml: it does not exist"),
        (("broken.yaml",), "broken.yaml:2: is not YAML"),
        (("empty.yaml",), "empty.yaml: no Kubernetes object in it"),
        ((), "Nothing to check. Name files, - for standard input, or a chart"),
        (("x.yaml", "-f", "values.yaml"), "--set-file"),
        (("x.yaml", "--chart", "."), "takes either files or --chart"),
        (("right.yaml", "--ignore", "P99"), "there is no rule P99"),
        (("--chart", "."), "helm is not on the PATH"),
    ],
)
def test_what_cannot_be_checked_is_one_message_and_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For people, and as JSON."""
    (tmp_path / "broken.yaml").write_text("kind: Pod\n  name: x\n")
    (tmp_path / "empty.yaml").write_text("# nothing\n---\n")
    (tmp_path / "right.yaml").write_text(RIGHT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert grace(monkeypatch, "policy", "check", *arguments) == 2
    assert message in capsys.readouterr().err
    assert grace(monkeypatch, "policy", "check", *arguments, "--json") == 2
    assert message in json.loads(capsys.readouterr().out)["error"]


def test_a_terminal_shows_one_block_a_fault_with_every_place(tmp_path: Path) -> None:
    """What several objects share is said once."""
    two = tmp_path / "two.yaml"
    two.write_text(RIGHT + "---\n" + RIGHT.replace("results", "logs"))
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "grace_client", "policy", "check", str(two)],
        stdout=follower,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 4096):
            shown += chunk
    except OSError:
        pass  # how a pseudo-terminal says that nobody writes any more
    os.close(leader)
    assert process.wait() == 0
    text = shown.decode()
    assert "\x1b[" in text
    assert text.count("may purge") == 1
    assert "PersistentVolumeClaim/results" in text
    assert "PersistentVolumeClaim/logs" in text
    assert "0 errors, 2 notes in 2 objects" in text


@needs_helm
def test_a_chart_is_rendered_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values files in Helm's order, then --set; findings name the template."""
    (tmp_path / "a.yaml").write_text("memory: {request: 128Gi, limit: 153Gi}\n")
    (tmp_path / "b.yaml").write_text("memory: {limit: 154Gi}\n")
    a, b = ("-f", str(tmp_path / "a.yaml")), ("-f", str(tmp_path / "b.yaml"))
    command = ("policy", "check", "--chart", str(CHART), "--json")
    assert grace(monkeypatch, *command) == 0
    capsys.readouterr()
    assert grace(monkeypatch, *command, *b, *a) == 0
    capsys.readouterr()
    assert grace(monkeypatch, *command, *a, *b, "--release", "x", "--namespace", "lab") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["errors"] == 1
    finding = found["findings"][0]
    assert (finding["rule"], finding["file"], finding["line"]) == ("P1", "small/templates/server.yaml", None)
    assert finding["object"] == {"kind": "Deployment", "name": "deployment-x", "namespace": None}
    assert found["findings"][1]["object"]["namespace"] == "lab"
    assert grace(monkeypatch, *command, *a, *b, "--set", "memory.limit=153Gi") == 0
    assert grace(monkeypatch, *command, "--set", "cpu=8", "--set", "storageClass=ceph-rbd") == 2


@needs_helm
def test_what_helm_refuses_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A template's own sentence, a missing values file, a version that is none."""
    command = ("policy", "check", "--chart", str(CHART))
    for arguments, message in (
        (("--set", "storageClass=none"), "storageClass none: a claim needs a class"),
        (("-f", "nowhere.yaml"), "nowhere.yaml"),
        (("--kube-version", "new"), "new"),
    ):
        assert grace(monkeypatch, *command, *arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"grace: helm cannot render {CHART}: ")
        assert message in error
    assert grace(monkeypatch, *command, "--kube-version", "1.29.0") == 0
