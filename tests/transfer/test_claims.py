"""Runs are fetched through a Job that is gone afterwards, whatever breaks on the way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from grace_client.cli import app
from grace_client.core.errors import ReleaseError, SpecError
from grace_client.deploy.values import ModelValues
from grace_client.kube.kubectl import Kubectl
from grace_client.run import verify
from grace_client.transfer import claims as module
from grace_client.transfer.claims import Claims, Fetched
from grace_client.transfer.connection import Connection, Entry
from grace_client.transfer.runs import runs_of
from tests.conftest import ROOT
from tests.kube.standin import Tools

JOB = json.dumps(
    {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job-files-m", "namespace": "lab"},
        "spec": {},
    }
)
RUN = "study1-exp2/m/r"
POD = "pod-1||2026-11-22T23:00:00Z||\n"
ENDED = {"type": "Failed", "status": "True"}
VALUES = {"model": {"name": "m", "repository": "a/b", "weightsGiB": 1}}


@pytest.fixture
def cluster(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """A claim with one finished run, and a pod that starts at once."""

    async def at_once(_: float) -> None:
        """No test waits."""

    monkeypatch.setattr(Claims.__init__, "__defaults__", (at_once,))
    tools.answer("helm template", JOB)
    for verb in "apply", "delete":
        tools.answer(f"kubectl .*{verb}")
    tools.answer("get .*job .*", {"metadata": {"name": "job-files-m"}})
    tools.answer("get .*--watch", POD)
    tools.answer("kubectl .*exec")
    run(tools.folder / "claims/output" / RUN)
    return tools


def run(folder: Path, ledger: bytes = b"line\n" * 1000, tables: int = 6) -> None:
    """A run's folder, as `grace run` leaves it."""
    (folder / "ledger").mkdir(parents=True, exist_ok=True)
    (folder / "ledger" / "a.jsonl").write_bytes(ledger)
    names = {f"t{number}.csv": os.urandom(50_000) for number in range(tables)}
    for name, content in names.items():
        (folder / name).write_bytes(content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in names.items()}
    results = {"trials": 3, "ledger_sha256": hashlib.sha256(ledger).hexdigest(), "tables": sums}
    study = {"study.yaml": b"grace: 1\n", "study/examples.csv": b"answer\nyes\n"}
    (folder / "study").mkdir(exist_ok=True)
    for name, content in study.items():
        (folder / name).write_bytes(content)
    kept = {name: hashlib.sha256(content).hexdigest() for name, content in study.items()}
    (folder / "manifest.json").write_text(json.dumps({"study": kept, "results": results}))


def opened(do: Callable[[Claims], Awaitable[Any]]) -> Any:
    async def work() -> Any:
        values = ModelValues.model_validate(VALUES).model_copy(update={"values": VALUES})
        async with Claims.open(Kubectl(timeout=20), values) as claims:
            return await do(claims)

    return asyncio.run(work())


def fetched(to: Path, pattern: str = "*/*/*") -> Fetched:
    found = opened(lambda claims: claims.fetch(pattern, to))
    assert isinstance(found, Fetched)
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_runs_are_fetched(cluster: Tools, tmp_path: Path) -> None:
    """Verified; a second time nothing is sent; each time the Job is gone at the end."""
    home = tmp_path / "home"
    first, again = fetched(home), fetched(home)
    assert files(home) == files(cluster.folder / "claims/output")
    assert first.verified == again.verified == (home / RUN,)
    assert (first.unchanged, first.files, again.unchanged, again.received) == (0, 10, 10, 0)
    verbs = [call.split()[1] for call in cluster.calls(" (apply|delete|exec) ")]
    assert verbs == ["apply", "exec", "delete"] * 2


def test_the_job_has_a_name_of_its_own(cluster: Tools, tmp_path: Path) -> None:
    """Two may fetch at a time, and no release takes the pod for its own."""
    fetched(tmp_path)
    (call,) = cluster.calls("helm template")
    given = json.loads(cluster.stdin()[0])
    name = given["nameOverride"]
    assert name.startswith("m-") and f"template files-{name} " in call
    assert "--show-only templates/files/job.yaml" in call
    assert given["files"] == {"enabled": True, "idleMinutes": 2} and given["model"] == VALUES["model"]


def test_three_broken_connections(cluster: Tools, tmp_path: Path) -> None:
    """The rest is fetched over a fourth; together they bring at most a file more each than what there is."""
    cluster.answer("kubectl .*exec", cut=80_000, times=3)
    found = fetched(tmp_path / "home")
    assert files(tmp_path / "home") == files(cluster.folder / "claims/output")
    assert len(cluster.calls(" exec ")) == 4
    size = sum(map(len, files(tmp_path / "home").values()))
    assert size <= found.received <= size + 3 * 50_000


@pytest.mark.slow
def test_a_call_that_was_ended_is_gone_on_with(cluster: Tools, tmp_path: Path) -> None:
    """What one call brought, the next does not fetch."""
    cluster.answer("kubectl .*exec", cut=150_000)
    cluster.answer("get .*--watch", err="Error from server (Forbidden): no", code=1)
    cluster.answer("get .*--watch", POD, times=1)
    with pytest.raises(ReleaseError):
        fetched(tmp_path)
    assert cluster.calls(" delete ")
    cluster.answer("kubectl .*exec")
    cluster.answer("get .*--watch", POD)
    found = fetched(tmp_path)
    assert found.verified and 0 < found.unchanged < found.files


def test_a_connection_that_brings_nothing_is_given_up(cluster: Tools, tmp_path: Path) -> None:
    """After some attempts; with kubectl's words, retryable, and nothing left."""
    cluster.answer("kubectl .*exec", err="error: unexpected EOF", code=1)
    with pytest.raises(ReleaseError, match="unexpected EOF") as caught:
        fetched(tmp_path)
    assert caught.value.retryable
    assert len(cluster.calls(" exec ")) == module.TRIES
    assert cluster.calls(" delete ")


def test_who_may_not_is_told_at_once(cluster: Tools, tmp_path: Path) -> None:
    """No second attempt."""
    cluster.answer("kubectl .*exec", err='Error from server (Forbidden): pods "p" is forbidden', code=1)
    with pytest.raises(SpecError, match="forbidden"):
        fetched(tmp_path)
    assert len(cluster.calls(" exec ")) == 1


def test_a_job_that_has_ended_is_started_anew(cluster: Tools, tmp_path: Path) -> None:
    """Its deadline may come before a large transfer's end."""
    cluster.answer("get .*job .*", {"metadata": {"name": "x"}, "status": {"conditions": [ENDED]}}, times=1)
    assert fetched(tmp_path).verified
    verbs = [call.split()[1] for call in cluster.calls(" (apply|delete|exec) ")]
    assert verbs == ["apply", "delete", "apply", "exec", "delete"]


def test_a_pod_that_cannot_start(cluster: Tools, tmp_path: Path) -> None:
    """The error has its state, and the Job is gone."""
    waiting = {"name": "files", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    pod = {"kind": "Pod", "metadata": {"name": "pod-1"}, "status": {"containerStatuses": [waiting]}}
    cluster.answer("get .*--watch", "pod-1||||\npod-1|||ImagePullBackOff|\n")
    cluster.answer("get .*pods,jobs", {"kind": "List", "items": [pod]})
    with pytest.raises(ReleaseError, match=r"does not start:\npod-1: .*files ImagePullBackOff"):
        fetched(tmp_path)
    assert cluster.calls(" delete ")


def test_an_image_of_another_version(cluster: Tools, tmp_path: Path) -> None:
    """One without this program, and one with another protocol: the image and what to set are named."""
    job = {"spec": {"template": {"spec": {"containers": [{"image": "reg/grace:0.0.9"}]}}}}
    cluster.answer("helm template", json.dumps(json.loads(JOB) | job))
    cluster.answer("get .*--watch", "pod-1|2026-11-22T23:00:00Z|||1\n" + "pod-2||||1\n")
    cluster.answer("kubectl .*logs", "No module named grace_client.transfer")
    with pytest.raises(SpecError, match=r"(?s)reg/grace:0\.0\.9 .*queries\.image\.tag.*No module named"):
        fetched(tmp_path)
    cluster.answer("get .*--watch", POD)
    cluster.answer("kubectl .*exec", err="unrecognized arguments: --protocol", code=2)
    with pytest.raises(SpecError, match=r"(?s)reg/grace:0\.0\.9 .*queries\.image\.tag.*unrecognized"):
        fetched(tmp_path)
    assert len(cluster.calls(" exec ")) == 1 and len(cluster.calls(" delete ")) == 2


def test_a_pod_that_is_going_is_not_used(cluster: Tools, tmp_path: Path) -> None:
    """Another one takes its place; a pod that ended is asked for again."""
    cluster.answer("get .*--watch", "pod-1|2026-11-22T23:00:00Z|2026-11-22T22:00:00Z||\n" + "pod-2||x||\n")
    cluster.answer("get .*--watch", "pod-0||||0\n", times=1)
    assert fetched(tmp_path).verified
    (call,) = cluster.calls(" exec ")
    assert "pod-2" in call


def test_nothing_there(cluster: Tools, tmp_path: Path) -> None:
    """Is an error that says how to see what there is."""
    with pytest.raises(SpecError, match="grace fetch --list"):
        fetched(tmp_path, "*/other/*")


def test_a_run_that_is_not_what_its_manifest_says(cluster: Tools, tmp_path: Path) -> None:
    """Is looked at twice, since it may just be written; then the file is named."""
    folder = cluster.folder / "claims/output" / RUN
    (folder / "t1.csv").write_text("changed")
    os.utime(folder / "t1.csv", (1, 1))
    with pytest.raises(ReleaseError, match=r"t1\.csv"):
        fetched(tmp_path)
    assert len(cluster.calls(" exec ")) == 2


@pytest.mark.parametrize("name", ["study.yaml", "study/examples.csv"])
@pytest.mark.parametrize("finished", [True, False])
def test_a_study_that_is_not_what_the_manifest_says(
    cluster: Tools, tmp_path: Path, name: str, finished: bool
) -> None:
    """Changed or missing on the claim: no run counts as complete without the study that it asked."""
    folder = cluster.folder / "claims/output" / RUN
    if not finished:
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"results": {}}))
        assert fetched(tmp_path).partial == (tmp_path / RUN,)
    (folder / name).write_bytes(b"changed")
    os.utime(folder / name, (1, 1))
    with pytest.raises(ReleaseError, match=name):
        fetched(tmp_path)
    (folder / name).unlink()
    (tmp_path / RUN / name).unlink()
    with pytest.raises(ReleaseError, match=name):
        fetched(tmp_path)


def test_corrupted_local_files_are_fetched_again(cluster: Tools, tmp_path: Path) -> None:
    """A table, the ledger, the study or the manifest, equal in size and time; and no other file."""
    home = tmp_path / "home"
    first = fetched(home)
    for name in "t1.csv", "ledger/a.jsonl", "study.yaml", "study/examples.csv", "manifest.json":
        file = home / RUN / name
        found = file.stat()
        content = bytearray(file.read_bytes())
        content[-2] ^= 1
        file.write_bytes(content)
        os.utime(file, ns=(found.st_mtime_ns, found.st_mtime_ns))
        again = fetched(home)
        assert (again.verified, again.received) == (first.verified, len(content))
        assert files(home) == files(cluster.folder / "claims/output")


def test_a_ledger_of_an_older_run_is_stale(cluster: Tools, tmp_path: Path) -> None:
    """A run done anew under its name: what the claim has is verified, what it has no more is named."""
    fetched(tmp_path)
    there = cluster.folder / "claims/output" / RUN
    (there / "ledger" / "a.jsonl").unlink()
    run(there, ledger=b"other\n")
    (there / "ledger" / "a.jsonl").rename(there / "ledger" / "b.jsonl")
    found = fetched(tmp_path)
    assert found.verified == (tmp_path / RUN,)
    assert found.stale == (tmp_path / RUN / "ledger" / "a.jsonl",)
    cluster.answer("helm get values", VALUES)
    done = CliRunner().invoke(app, ["fetch", "r", "--to", str(tmp_path)], catch_exceptions=False)
    assert str(tmp_path / RUN / "ledger" / "a.jsonl") in done.stderr


def test_a_manifest_that_vanishes(cluster: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the listing and the transfer: the run is partial."""
    listed = Connection.list

    async def vanishing(connection: Connection, pattern: str, *, checksums: bool) -> list[Entry]:
        entries = await listed(connection, pattern, checksums=checksums)
        (cluster.folder / "claims/output" / RUN / "manifest.json").unlink()
        return entries

    monkeypatch.setattr(Connection, "list", vanishing)
    found = fetched(tmp_path)
    assert (found.verified, found.partial, found.files) == ((), (tmp_path / RUN,), 9)


def test_what_cannot_be_written_at_home(cluster: Tools, tmp_path: Path) -> None:
    """A folder where a file should be: with its name, not as a lost connection."""
    (tmp_path / RUN / "t1.csv").mkdir(parents=True)
    with pytest.raises(SpecError, match=r"t1\.csv.*: it is a folder, but a file is needed.*--to"):
        fetched(tmp_path)
    assert len(cluster.calls(" exec ")) == 1


def test_names_that_a_disk_does_not_tell_apart(
    cluster: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Are refused where one would overwrite the other, and only there."""
    run(cluster.folder / "claims/output/study1-exp2/m/R", tables=1)
    assert len(fetched(tmp_path / "home").verified) == 2
    monkeypatch.setattr(module, "_case_sensitive", lambda _: False)
    with pytest.raises(SpecError, match=r"m/R/.* and .*m/r/.* would be the same file"):
        fetched(tmp_path / "other")
    assert len(fetched(tmp_path / "third", RUN).verified) == 1


def test_a_file_that_may_not_be_read(cluster: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is named, and not passed over as if it were gone."""
    line = Connection._line

    async def refused(connection: Connection) -> dict[str, Any]:
        found = await line(connection)
        return {"errno": 13, "error": "Permission denied"} if set(found) == {"size"} else found

    monkeypatch.setattr(Connection, "_line", refused)
    with pytest.raises(ReleaseError, match=r"(a\.jsonl|manifest\.json) on the claim cannot be read: Perm"):
        fetched(tmp_path)


@pytest.mark.parametrize("folder", ["../x", "/x", "a/../../x"])
def test_a_folder_off_the_claim_is_refused_at_once(cluster: Tools, tmp_path: Path, folder: str) -> None:
    """Before any call of the cluster."""
    (tmp_path / "list.csv").write_text("x\n")
    with pytest.raises(SpecError, match=f"--folder {folder} is outside the claim"):
        cli("upload", str(tmp_path / "list.csv"), "--claim", "mine", "--folder", folder)
    for runs in folder, "**":
        with pytest.raises(SpecError, match="EXPERIMENT/MODEL/RUN"):
            cli("fetch", "--claim", "mine", "--runs", runs)
    assert not cluster.calls(" apply ")


def test_a_run_that_goes_on_is_partial(tmp_path: Path) -> None:
    """No tables yet, or a ledger that is younger than they are."""
    run(tmp_path, tables=2)
    listed = {tmp_path / "ledger" / "a.jsonl"}
    assert verify.check(tmp_path, listed).whole
    with (tmp_path / "ledger" / "a.jsonl").open("a") as ledger:
        ledger.write("more\n")
    written = (tmp_path / "manifest.json").stat().st_mtime_ns
    os.utime(tmp_path / "ledger" / "a.jsonl", ns=(written + 1, written + 1))
    assert not verify.check(tmp_path, listed).whole and not verify.check(tmp_path, listed).faults
    os.utime(tmp_path / "ledger" / "a.jsonl", ns=(written - 1, written - 1))
    assert len(verify.check(tmp_path, listed).faults) == 1
    (tmp_path / "manifest.json").write_text("{}")
    assert verify.check(tmp_path, listed).whole is False and not verify.check(tmp_path, listed).faults


def test_runs_among_files() -> None:
    """Whatever holds a manifest, replicates of an Indexed Job each; files beside them are nobody's."""
    paths = [
        "e/m/r/manifest.json",
        "e/m/r/ledger/a.jsonl",
        "e/m/s/replicate-0/manifest.json",
        "e/m/s/x",
        "e/y",
    ]
    results: dict[str, dict[str, Any]] = {"e/m/r/manifest.json": {"trials": 3}}
    entries = [
        Entry(f"output/{path}", 10, 0, "", results.get(path, {}) if path.endswith(".json") else None)
        for path in paths
    ]
    found = [
        (run.experiment, run.model, run.run_id, run.files, run.bytes, run.complete)
        for run in runs_of(entries)
    ]
    assert found == [("e", "m", "r", 2, 20, True), ("e", "m", "s/replicate-0", 1, 10, False)]


def test_lists_go_up(cluster: Tools, tmp_path: Path) -> None:
    """To the input claim, under their names; two of one name are refused."""
    (tmp_path / "list.csv").write_text("a,b\n")
    assert opened(lambda claims: claims.upload([tmp_path / "list.csv"], "mine")) == ["mine/list.csv"]
    assert (cluster.folder / "claims/input/mine/list.csv").read_text() == "a,b\n"
    with pytest.raises(SpecError, match="same name"):
        opened(lambda claims: claims.upload([tmp_path / "list.csv"] * 2))


def cli(*arguments: str) -> Any:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def test_the_command(cluster: Tools, tmp_path: Path) -> None:
    """By release, by values, by claim; a list; JSON."""
    cluster.answer("helm get values", VALUES)
    run(cluster.folder / "claims/output/study1-exp2/m/other", tables=1)
    (tmp_path / "m.yaml").write_text(json.dumps(VALUES))
    listed = cli("fetch", "r", "--list", "--json")
    assert [(run["path"], run["complete"]) for run in listed] == [(RUN, True)]
    done = cli("fetch", "--values", str(tmp_path / "m.yaml"), "--to", str(tmp_path / "home"), "--json")
    assert done["verified"] == [str(tmp_path / "home/study1-exp2/m/other"), str(tmp_path / "home" / RUN)]
    assert "  complete; " in cli("fetch", "--claim", "mine", "--runs", RUN, "--to", str(tmp_path / "home"))
    storage = {"input": {"enabled": False}, "logs": {"enabled": False}, "output": {"existingClaim": "mine"}}
    assert json.loads(cluster.stdin()[-2])["storage"] == storage
    (tmp_path / "list.csv").write_text("x\n")
    cluster.answer("helm template x .*--set a.b=1", f"values: {json.dumps(VALUES | {'a': {'b': 1}})}\n")
    done = cli("upload", str(tmp_path / "list.csv"), "--claim", "mine", "--set", "a.b=1", "--json")
    assert done == {"files": ["list.csv"]}
    assert json.loads(cluster.stdin()[-2])["a"] == {"b": 1}


def test_watching_ends_with_the_last_job(
    cluster: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it wrote at the end is fetched once more."""
    monkeypatch.setattr("grace_client.cli.fetch.WATCH_S", 0)
    cluster.answer("helm get values", VALUES)
    ended = {"kind": "List", "items": [{"status": {"conditions": [{"type": "Complete", "status": "True"}]}}]}
    cluster.answer("get .*jobs .*component in", ended)
    suspended = {"conditions": [{"type": "Suspended", "status": "True"}]}
    cluster.answer("get .*jobs .*component in", {"kind": "List", "items": [{"status": suspended}]}, times=2)
    cli("fetch", "r", "--watch", "--to", str(tmp_path / "home"))
    # A look at the runs before each fetch while Jobs go on.
    assert len(cluster.calls(" exec ")) == 5


@pytest.mark.usefixtures("a_terminal")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_a_signal_clears_up(cluster: Tools, tmp_path: Path, number: signal.Signals) -> None:
    """A lost ssh as well as Ctrl-C, with nobody left who reads: the Job is deleted, the exit code is 3."""
    cluster.answer("get .*--watch", hang="polite")
    given = ["fetch", "--claim", "mine", "--to", str(tmp_path / "home")]
    command = [sys.executable, "-m", "grace_client", *given]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        while not (cluster.folder / "pid").exists():
            assert running.poll() is None
            time.sleep(0.02)
        assert running.stdout and running.stderr
        running.stdout.close()
        running.stderr.close()
        running.send_signal(number)
        assert running.wait(timeout=30) == 3
    assert cluster.calls(" delete ")


def test_one_of_three_is_named() -> None:
    """A release, values or a claim."""
    with pytest.raises(SpecError, match=r"--values.*--claim"):
        CliRunner().invoke(app, ["fetch"], catch_exceptions=False)
