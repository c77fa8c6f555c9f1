"""Campaigns on the test cluster: started as a user starts them, watched from beside."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from grace_client.deploy.values import layered
from tests.conftest import ROOT
from tests.real_cluster.kube import POLL, SMALL, Json, Kube, component

SAMPLE = 12
"""Trials of a run: with seconds of delay for each answer long enough to be disturbed."""


def write_models(folder: Path, **models: Mapping[str, Any]) -> Path:
    """A values folder of small models, each with differences of its own."""
    small = yaml.safe_load(SMALL.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    for name, own in models.items():
        named = {"model": {"name": name, "repository": f"example/{name}"}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(layered(small, named, own)))
    return folder


class Campaign:
    """One campaign of a test.

    Parameters
    ----------
    kube : Kube
        The namespace.
    home : Path
        A folder; every process gets a home directory and an --out of its own in it.
    options : str
        Options of every `grace campaign run` that begins it.
    """

    def __init__(self, kube: Kube, home: Path, *options: str) -> None:
        self.kube, self.home, self.options = kube, home, options
        self.started = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def out(self) -> Path:
        """The --out of the latest process."""
        return self.home / f"out-{self.started}"

    def start(self, *more: str, resume: bool = False) -> None:
        """Start a process that knows nothing but the cluster and its options."""
        self.started += 1
        home = self.home / f"home-{self.started}"
        home.mkdir(parents=True)
        command = [sys.executable, "-m", "grace_client", "campaign", "run", "--json", "--poll", "1"]
        command += ["--out", str(self.out), *(() if resume else self.options), *more]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.kube.env | {"HOME": str(home), "GRACE_CACHE": str(home)},
            stdout=subprocess.PIPE,
            stderr=(self.home / f"log-{self.started}").open("w"),
            text=True,
        )

    def phase(self, model: str) -> str:
        """A model's phase, from the campaign's file."""
        try:
            kept = json.loads((self.out / "campaign.json").read_text())
        except FileNotFoundError:
            return ""
        return next(str(one["phase"]) for one in kept["models"] if one["model"] == model)

    def reaches(self, model: str, *phases: str, seconds: float = 60) -> None:
        """Wait until a model is in one of some phases."""

        def there() -> bool:
            assert self.process is not None
            code = self.process.poll()
            assert code is None, f"ended with {code} before {phases}:\n{self.log()}"
            return self.phase(model) in phases

        self.kube.until(there, seconds, f"{model} to be {' or '.join(phases)}")

    def running(self) -> bool:
        """Whether the latest process has not ended."""
        assert self.process is not None
        return self.process.poll() is None

    def kill(self) -> None:
        """As when the machine dies."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def log(self) -> str:
        """Logs of all processes."""
        return "\n".join(file.read_text() for file in sorted(self.home.glob("log-*")))

    def ended(self, seconds: float, code: int = 0) -> Json:
        """The report, once the process has ended."""
        assert self.process is not None
        try:
            out, _ = self.process.communicate(timeout=4 * seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"no end after {4 * seconds:g} s\n{self.log()}\n{self.kube.state()}"
            ) from None
        assert self.process.returncode == code, f"{self.process.returncode}\n{out}\n{self.log()}"
        report: Json = json.loads(out)
        return report

    def grace(self, *arguments: str) -> Json:
        """Another `grace campaign` command with --json."""
        done = subprocess.run(
            [sys.executable, "-m", "grace_client", "campaign", *arguments, "--json"],
            cwd=ROOT,
            env=self.kube.env,
            capture_output=True,
            text=True,
            timeout=240,
        )
        found: Json = json.loads(done.stdout)
        return found


def answers(kube: Kube, model: str, run: str = "") -> int:
    """Number of answers in the ledger of a model's run."""
    pods = [p for p in kube.get("pods", component(model, "query")) if p["status"]["phase"] == "Running"]
    if not pods:
        return 0
    count = f"cat /output/study1-exp2/{model}/{run or model}/ledger/*.jsonl 2>/dev/null | wc -l"
    done = subprocess.run(
        ["kubectl", "exec", pods[-1]["metadata"]["name"], "--", "sh", "-c", count],
        env=kube.env,
        capture_output=True,
        text=True,
    )
    return int(done.stdout or 0)


@contextmanager
def gpus_watched(kube: Kube) -> Iterator[list[dict[str, int]]]:
    """GPUs that each release holds, sampled twice a second."""
    seen: list[dict[str, int]] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            # The API may be away.
            with suppress(OSError):
                seen.append(_held(kube.get("pods")))
            time.sleep(POLL)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _held(pods: list[Json]) -> dict[str, int]:
    held: dict[str, int] = {}
    for pod in pods:
        limits = [c["resources"].get("limits", {}) for c in pod["spec"]["containers"]]
        gpus = sum(int(n) for each in limits for name, n in each.items() if name.startswith("nvidia.com/"))
        if gpus and pod["spec"].get("nodeName") and pod["status"]["phase"] in ("Pending", "Running"):
            release = pod["metadata"]["labels"]["app.kubernetes.io/instance"]
            held[release] = held.get(release, 0) + gpus
    return held


def admin(kube: Kube) -> Kube:
    """The namespace as the cluster's administrator sees it."""
    return Kube(kube.env | {"KUBECONFIG": kube.env["GRACE_CLUSTER_KUBECONFIG"]})
