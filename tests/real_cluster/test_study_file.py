"""A study that the image has never seen gives, in Kubernetes, the tables of a run on one machine."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.real_cluster.campaigns import Campaign, write_models
from tests.real_cluster.kube import SMALL, Kube, assert_same, component, grace, grace_command, tables
from tests.support import own_study
from tests.support.fault_server import FaultServer, in_thread


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of every experiment of the study on this machine, against a stand-in like that of the cluster."""
    folder = tmp_path_factory.mktemp("local")
    with in_thread(FaultServer(model="fake")) as server:
        for name in own_study.EXPERIMENTS:
            given = ["run", f"{own_study.FILE}:{name}", "--trials", str(own_study.TRIALS), "--quiet"]
            given += ["--server", server.url, "--model", "fake", "--out", str(folder / name)]
            subprocess.run(grace_command(*given), cwd=ROOT, check=True, capture_output=True, timeout=300)
    return {name: folder / name for name in own_study.EXPERIMENTS}


def asked(kube: Kube, release: str) -> None:
    """Wait until every query Job of a release has succeeded."""
    for job in kube.get("jobs", component(release, "query")):
        name = job["metadata"]["name"]
        assert kube.finished(name, 120), kube.log(name)


def check(kube: Kube, run: Path, local: Path) -> None:
    """Tables, study and list of a fetched run are those of the local one, and it explains itself here."""
    assert_same(tables(run), tables(local))
    kept = json.loads((run / "manifest.json").read_text())["study"]
    assert set(kept) == {"study.yaml"} | {str(path.relative_to(run)) for path in run.glob("study/*")}
    for name, checksum in kept.items():
        content = (run / name).read_bytes()
        assert content == (local / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == checksum
    assert (run / "trials.csv").read_bytes() == (local / "trials.csv").read_bytes()
    grace(kube, "verify", str(run))


def test_by_set_file(kube: Kube, expected: dict[str, Path], tmp_path: Path) -> None:
    """One install, no image built: every experiment of the file is asked, and fetched with the file."""
    kube.install("words", *(word for given in own_study.SET_FILES for word in ("--set-file", given)))
    jobs = kube.get("jobs", component("words", "query"))
    assert {job["metadata"]["labels"]["grace/experiment"] for job in jobs} == set(own_study.EXPERIMENTS)
    found = json.loads(grace(kube, "fetch", "words", "--to", str(tmp_path), "--watch", "--json"))
    asked(kube, "words")
    assert {Path(folder) for folder in found["verified"]} == {
        tmp_path / name / "fake" / "words" for name in own_study.EXPERIMENTS
    }
    for name, local in expected.items():
        check(kube, tmp_path / name / "fake" / "words", local)


def test_from_the_input_claim(kube: Kube, expected: dict[str, Path], tmp_path: Path) -> None:
    """Uploaded by `grace upload` with the files beside it; a study that changes begins another run."""
    name, *_ = own_study.EXPERIMENTS
    # The release makes the claims. Nothing is asked before the files are there.
    off = "queries.experiments.study1-exp2.enabled=false"
    kube.install("claim", "--set", off)
    files = [str(path) for path in (own_study.FILE, own_study.EXAMPLES, own_study.TRIALS)]
    uploaded = json.loads(grace(kube, "upload", *files, "--values", str(SMALL), "--folder", "mine", "--json"))
    assert f"mine/{own_study.FILE.name}" in uploaded["files"]
    study = f"queries.studyFromInput=mine/{own_study.FILE.name}"
    settings = "queries.experiments.some-reds-null.enabled=true"
    kube.install("claim", "--set", f"{off},{study},{settings}", verb="upgrade")
    asked(kube, "claim")
    grace(kube, "fetch", "claim", "--to", str(tmp_path))
    check(kube, tmp_path / name / "fake" / "claim", expected[name])


def test_by_a_campaign_that_goes_on_elsewhere(kube: Kube, expected: dict[str, Path], tmp_path: Path) -> None:
    """The study is in the campaign's record: a process without the file continues, to the same tables."""
    values = write_models(tmp_path / "values", fake={"server": {"extraArgs": ["--delay=1"]}})
    study = tmp_path / "study"
    study.mkdir()
    for path in (own_study.FILE, own_study.EXAMPLES, own_study.TRIALS):
        (study / path.name).write_bytes(path.read_bytes())
    options = (
        "--models",
        "fake",
        "--values-folder",
        str(values),
        "--study",
        str(study / own_study.FILE.name),
    )
    campaign = Campaign(kube, tmp_path, *options, "--experiments", "null,said")
    campaign.start()
    campaign.reaches("fake", "querying")
    campaign.kill()
    for path in study.iterdir():
        path.unlink()
    campaign.start(resume=True)
    report = campaign.ended(180)
    assert [model["state"] for model in report["models"]] == ["done"], report
    for name in ("some-reds-null", "some-reds-said"):
        check(kube, campaign.out / "results" / name / "fake" / "fake", expected[name])
