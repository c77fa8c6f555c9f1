"""The command line against a server in a process of its own, and what is left when either is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from aiohttp.test_utils import unused_port

from grace_client.run import manifest
from tests.conftest import ROOT, grace, undated
from tests.support.fault_server import FaultServer, in_thread

pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
SAMPLE = "400"


class Server:
    """A fault server in a process of its own, that can be killed and started again."""

    def __init__(self, *options: str) -> None:
        self.port = unused_port()
        self.options = options
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.support.fault_server", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, *self.options], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        assert self.url, "the fault server did not start"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    server = Server(*options)
    try:
        yield server
    finally:
        server.kill()


def client(url: str, out: Path, *more: str) -> subprocess.Popen[str]:
    """A run of Study 2."""
    command = ["run", "study2-exp2", "--server", url, "--out", str(out), "--sample", SAMPLE, *more]
    return subprocess.Popen(
        [sys.executable, "-m", "grace_client", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def lines(out: Path) -> int:
    """Lines of a run's ledger."""
    return sum(file.read_bytes().count(b"\n") for file in (out / "ledger").glob("*"))


def wait_for_lines(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while lines(out) < count and process.poll() is None:
        assert time.monotonic() < deadline, f"{lines(out)} of {count} answers after two minutes"
        time.sleep(0.01)


def tables(out: Path) -> dict[str, bytes]:
    return {undated(file.name): file.read_bytes() for file in out.glob("*probabilities*")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    with serving() as server:
        process = client(server.url, out, "--quiet")
        _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert len(tables(out)) == 3
    return tables(out)


def test_client_and_server_killed_at_random_moments(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    """SIGKILL to one or the other, four times, then to the end: the same tables, to the byte."""
    rng = random.Random(3)
    out = tmp_path / "run"
    victims = ["client", "server", "server", "client"]
    with serving("--delay", "0.02") as server:
        process = client(server.url, out, "--wait-for-server", "2")
        for step, victim in enumerate(victims, 1):
            # The whole run is some 400 answers: a kill every 80, somewhere in between.
            wait_for_lines(out, 80 * step + rng.randrange(20), process)
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            if victim == "client":
                process.kill()
                process.communicate()
                process = client(server.url, out, "--wait-for-server", "2")
            else:
                server.kill()
                time.sleep(rng.uniform(0.0, 0.5))
                server.start()
        _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert len(list((out / "ledger").iterdir())) >= victims.count("client")
    assert tables(out) == undisturbed


@pytest.mark.parametrize("hangs", [False, True], ids=["answering", "hanging"])
def test_sigterm_ends_the_run_in_time(tmp_path: Path, undisturbed: dict[str, bytes], hangs: bool) -> None:
    """Code 3 within ten seconds though the server hangs, tables of what there is, and it can go on."""
    schedule = tmp_path / "schedule.json"
    schedule.write_text(json.dumps([{"kind": "hang", "after": 150}] if hangs else []))
    out = tmp_path / "run"
    with serving("--delay", "0.02", "--schedule", str(schedule)) as server:
        process = client(server.url, out)
        wait_for_lines(out, 60, process)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        took = time.monotonic() - began
    assert process.returncode == 3, errors
    assert took < 10
    assert "The same command continues" in errors
    assert "Traceback" not in errors
    answered = pd.read_csv(next(out.glob("*_probabilities_????????.csv")))["prob_was"].notna().sum()
    assert 0 < answered < int(SAMPLE)
    assert manifest.load(out).results["distinct_by_status"]["ok"] >= 60
    with serving() as server:
        process = client(server.url, out)
        _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert tables(out) == undisturbed


def test_sigterm_ends_the_wait_for_a_server(tmp_path: Path) -> None:
    """Code 3 at once, though the server may still have minutes."""
    arguments = ["run", "study2-exp2", "--server", "http://127.0.0.1:1", "--wait-for-server", "5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "grace_client", *arguments, "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stderr
    assert "waiting for the server" in process.stderr.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert time.monotonic() - began < 5
    assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()


def test_noise_and_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server's answers do not vary: zero, in the manifest too; another server is refused."""
    out = str(tmp_path / "run")

    def said(*arguments: str, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        assert grace(monkeypatch, *arguments) == code
        return capsys.readouterr()

    with in_thread(FaultServer()) as server:
        said("run", "study2-exp2", "--server", server.url, "--out", out, "--sample", "12")
        noise = ("noise", out, "--server", server.url, "--questions")
        floor = json.loads(said(*noise, "8", "--repeats", "2", "--json")[0])
        assert (floor["questions"], floor["repeats"], floor["loads"]) == (8, 2, [1, 64])
        assert floor["nats"] == floor["points"] == {"sd": 0, "median": 0, "p95": 0, "max": 0}
        kept = manifest.load(Path(out)).noise
        assert kept is not None
        assert kept.model_dump().items() <= floor.items()
        assert "noise floor" in said("status", out)[0]
        shown, _ = said(*noise, "3", "--quiet")
        assert "3 questions scored again 5 times, with 1, 64, 32, 16, 8 questions at once" in shown
        assert "maximum 0" in shown

        assert "Option mass: " in said("probe", "--server", server.url)[0]
        found = json.loads(said("probe", "--server", server.url, "--json")[0])
        assert sum(found["prob_norm"].values()) == pytest.approx(1)
        assert 0 < found["option_mass"] < 1
    with in_thread(FaultServer(ignores=("logprob_token_ids", "prompt_logprobs"))) as old:
        assert "cannot score exactly" in said("probe", "--server", old.url, code=2)[1]
    with in_thread(FaultServer(model="gemma")) as other:
        told = said("noise", out, "--server", other.url, code=2)[1]
        assert 'engine.model: "fake-model" in the folder, "gemma" now' in told
