"""A campaign on this machine: the same folders, one model at a time, and no child left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grace_client.cli.campaign_local import EMBEDDED, _models
from grace_client.errors import SpecError
from tests.conftest import ROOT

SERVER = """
import json, os, sys
from pathlib import Path
log = Path(os.environ["CALLS"])
with log.open("a") as file:
    file.write(json.dumps({"pid": os.getpid(), "args": sys.argv[1:]}) + "\\n")
sys.argv = ["vllm", *sys.argv[1:]]
import runpy
runpy.run_path("tests/kube/server/vllm", run_name="__main__")
"""


def values(folder: Path, *names: str) -> Path:
    """A values folder of small models."""
    folder.mkdir()
    for name in names:
        (folder / f"{name}.yaml").write_text(
            f"model: {{name: {name}, repository: example/{name}, weightsGiB: 0.01}}\n"
        )
    return folder


def command(tmp_path: Path, *names: str, delay: float = 0.0) -> list[str]:
    """`grace campaign run --local` with stand-ins for vLLM."""
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    folder = tmp_path / "values"
    return [
        *(sys.executable, "-m", "grace_client", "campaign", "run", "--local", "--json"),
        *("--vllm", f"{sys.executable} {program} serve --delay={delay}"),
        *("--models", ",".join(names), "--experiments", "study1-exp2", "--sample", "2"),
        *("--values-folder", str(folder if folder.exists() else values(folder, *names))),
        *("--out", str(tmp_path / "out")),
    ]


def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"CALLS": str(tmp_path / "calls"), "PYTHONPATH": str(ROOT)}


def calls(tmp_path: Path) -> list[dict[str, object]]:
    """Servers that were started."""
    file = tmp_path / "calls"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def alive(pid: object) -> bool:
    assert isinstance(pid, int)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_models_one_after_another(tmp_path: Path) -> None:
    """Each has its own server, which is gone when its model is done; a second run asks nothing anew."""
    asked = command(tmp_path, "one", "two")
    env = environment(tmp_path)
    done = subprocess.run(asked, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["models"]
    assert [model["state"] for model in report] == ["done", "done"]
    for name, model in zip(("one", "two"), report, strict=True):
        (folder,) = map(Path, model["results"])
        assert folder == tmp_path / "out" / "results" / "study1-exp2" / name / name
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["spec"]["engine"]["model"] == name and manifest["results"]["trials"] == 2
    started = calls(tmp_path)
    assert [call["args"][2] for call in started] == ["example/one", "example/two"]  # type: ignore[index]
    assert not any(alive(call["pid"]) for call in started)
    again = subprocess.run(asked, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0 and again.stderr.count(" 0 to ask") == 2


def test_a_stop_ends_server_and_client(tmp_path: Path) -> None:
    """Ctrl-C: exit code 3, nothing that was started is left, and the next model does not begin."""
    env = environment(tmp_path)
    asked = command(tmp_path, "one", "two", delay=600)
    running = subprocess.Popen(
        asked, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(600):
        if calls(tmp_path):
            break
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 3, err
    assert [model["state"] for model in json.loads(out)["models"]] == ["planned", "planned"]
    assert all(model["next"] for model in json.loads(out)["models"])
    assert len(calls(tmp_path)) == 1 and not alive(calls(tmp_path)[0]["pid"])


def test_a_server_that_ends_fails_its_model_and_not_the_next(tmp_path: Path) -> None:
    """With where its log is; the next model begins."""
    asked = command(tmp_path, "one", "two")
    broken = [word.replace("serve --delay=0.0", "serve --delay=x") for word in asked]
    done = subprocess.run(
        broken, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 1
    first, second = json.loads(done.stdout)["models"]
    assert first["state"] == second["state"] == "failed"
    log = tmp_path / "out" / "logs" / "one.log"
    assert str(log) in first["reason"] and "invalid float value" in log.read_text()


def test_models_are_named_by_file_or_id(tmp_path: Path) -> None:
    """The embedded one, those of the values folder, and Hugging Face ids; each once."""
    folder = values(tmp_path / "v", "one")
    found = _models([EMBEDDED, "one", "org/other"], folder)
    assert [(model.name, model.repository) for model in found] == [
        (EMBEDDED, ""),
        ("one", "example/one"),
        ("other", "org/other"),
    ]
    with pytest.raises(SpecError, match="no model nobody"):
        _models(["nobody"], folder)
    with pytest.raises(SpecError, match="once"):
        _models(["one", "org/one"], folder)
