"""A campaign on this machine: the same folders, one model at a time, and no child left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import typer
import yaml

from grace_client.cli._engine_options import EMBEDDED
from grace_client.cli.campaign import commands
from grace_client.cli.campaign.local import AGAIN, _models, refuse
from grace_client.core.errors import SpecError
from grace_client.deploy.arguments import client_runs
from grace_client.deploy.values import effective, model_values
from grace_client.local import supervise
from grace_client.local.runner import Local
from grace_client.local.server import Vllm, asked, check, embedded, unlisted
from tests.conftest import ROOT
from tests.real_cluster.kube import assert_same, tables
from tests.support import own_study
from tests.support.fault_server import FaultServer, in_thread

SERVER = """
import json, os, sys
from pathlib import Path
log = Path(os.environ["CALLS"])
with log.open("a") as file:
    file.write(json.dumps({"pid": os.getpid(), "args": sys.argv[1:]}) + "\\n")
if os.environ.get("TAKEN") and len(log.read_text().splitlines()) == 1:
    import socket
    port = next(int(word.partition("=")[2]) for word in sys.argv if word.startswith("--port="))
    taken = socket.create_server(("127.0.0.1", port))
    if os.fork():
        sys.exit(1)
    os.setsid()  # another program, which does not end with this one
    import time
    time.sleep(10)
    sys.exit(0)
sys.argv = ["vllm", *sys.argv[1:]]
import runpy
runpy.run_path("tests/real_cluster/server/vllm", run_name="__main__")
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
    """Whether a process lives; in a container nobody may reap one that has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def until(true: Callable[[], object]) -> None:
    """Wait for something, for a minute at most."""
    for _ in range(1200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about within a minute")


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


@pytest.mark.usefixtures("a_terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_stop_ends_server_and_client(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, a lost ssh: exit code 3, nothing that was started is left, the next model does not begin."""
    env = environment(tmp_path)
    asked = command(tmp_path, "one", "two", delay=600)
    running = subprocess.Popen(
        asked, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(lambda: calls(tmp_path))
    running.send_signal(number)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 3, err
    assert [model["state"] for model in json.loads(out)["models"]] == ["planned", "planned"]
    assert all(model["next"] for model in json.loads(out)["models"])
    assert len(calls(tmp_path)) == 1 and not alive(calls(tmp_path)[0]["pid"])


def test_a_stop_that_nobody_hears_of(tmp_path: Path) -> None:
    """`… 2>&1 | tee log`: Ctrl-C has ended tee before; what was started ends all the same."""
    asked = command(tmp_path, "one", delay=600)
    reader, writer = os.pipe()
    running = subprocess.Popen(asked, cwd=ROOT, env=environment(tmp_path), stdout=writer, stderr=writer)
    os.close(writer)
    until(lambda: calls(tmp_path))
    os.close(reader)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 3
    assert not alive(calls(tmp_path)[0]["pid"])


def children(pid: int) -> list[int]:
    """Everything that a process started, and what that started in its turn."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            text = stat.read_text()
            if text.rpartition(")")[2].split()[1] == str(pid):
                found += [int(stat.parent.name), *children(int(stat.parent.name))]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_kill_ends_server_and_client(tmp_path: Path) -> None:
    """SIGKILL cannot be caught; server and client end nonetheless, and with them what they started."""
    asked = command(tmp_path, "one", delay=600)
    running = subprocess.Popen(
        asked, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until(lambda: calls(tmp_path) and len(children(running.pid)) == 4)
    started = children(running.pid)
    assert calls(tmp_path)[0]["pid"] in started
    running.kill()
    running.wait()
    until(lambda: not any(map(alive, started)))


def test_what_does_not_hear_is_killed(tmp_path: Path) -> None:
    """A program that ignores SIGTERM, and one that it started, when the pipe to the leash ends."""
    note = tmp_path / "pids"
    deaf = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.fork()\n"
        "with open(sys.argv[1], 'a') as file: file.write(f'{os.getpid()}\\n')\n"
        "signal.pause()"
    )
    running = subprocess.Popen(
        [sys.executable, "-I", "-S", supervise.__file__, "0.2", sys.executable, "-S", "-c", deaf, str(note)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    until(lambda: note.exists() and note.read_text().count("\n") == 2)
    assert running.stdin
    running.stdin.close()
    assert running.wait(timeout=20) == -signal.SIGKILL
    until(lambda: not any(map(alive, note.read_text().split())))


@pytest.mark.parametrize(("program", "code"), [("exit 3", 3), ("kill -9 $$", 137)])
def test_the_leash_ends_as_its_program(program: str, code: int) -> None:
    """With its exit code, as a shell tells it."""
    asked = [sys.executable, "-I", "-S", supervise.__file__, "1", "bash", "-c", program]
    with subprocess.Popen(asked, stdin=subprocess.PIPE) as running:
        assert running.wait(timeout=20) == code
    asked[5:] = ["/no/such/program"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=20)
    assert done.returncode == 127 and "cannot start /no/such/program" in done.stderr


def test_a_port_that_another_program_took(tmp_path: Path) -> None:
    """The server gets another one."""
    asked = command(tmp_path, "one")
    env = environment(tmp_path) | {"TAKEN": "1"}
    done = subprocess.run(asked, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "another program uses the server's port" in done.stderr
    ports = {word for call in calls(tmp_path) for word in call["args"] if word.startswith("--port=")}  # type: ignore[attr-defined]
    assert len(calls(tmp_path)) == len(ports) == 2


def test_one_experiment_that_fails_leaves_the_others(tmp_path: Path) -> None:
    """As the Jobs of a release do; what cannot be asked is not said to go on by itself."""
    asked = command(tmp_path, "one")
    asked[asked.index("study1-exp2")] = "study1-exp2,study2-exp2,study2-judgement"
    own = yaml.safe_load((tmp_path / "values" / "one.yaml").read_text())
    own["queries"] = {"experiments": {"study1-exp2": {"extraArgs": ["--prune=x"]}}}
    (tmp_path / "values" / "one.yaml").write_text(yaml.safe_dump(own))
    done = subprocess.run(
        asked, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 1, done.stderr
    (model,) = json.loads(done.stdout)["models"]
    assert model["state"] == "failed" and len(model["results"]) == 3
    assert model["reason"].startswith("study1-exp2/one/one: ")
    assert model["next"] != AGAIN
    whole = [Path(folder) for folder in model["results"] if Path(folder, "manifest.json").exists()]
    assert [folder.parts[-3] for folder in whole] == ["study2-exp2", "study2-judgement"]
    assert len(calls(tmp_path)) == 1


def test_questions_that_fail_leave_the_other_experiments(tmp_path: Path) -> None:
    """Stories longer than the model's context, in a list that the values hold: exit code 1 of that run."""
    asked = command(tmp_path, "one")
    asked[asked.index("study1-exp2")] = "study1-exp2,study2-exp2"
    header, *rows = (ROOT / "data" / "study1.csv").read_text().splitlines()[:3]
    long = [row.replace("<br>", "very long " * 3000 + "<br>", 1) for row in rows]
    own = yaml.safe_load((tmp_path / "values" / "one.yaml").read_text())
    own["queries"] = {"trials": {"study1": "\n".join([header, *long, ""])}}
    (tmp_path / "values" / "one.yaml").write_text(yaml.safe_dump(own))
    done = subprocess.run(
        asked, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 1, done.stderr
    (model,) = json.loads(done.stdout)["models"]
    failed, whole = map(Path, model["results"])
    assert model["reason"] == "study1-exp2/one/one: too many questions failed"
    assert model["next"] == f"'grace status {failed}' lists the reasons"
    results = json.loads((whole / "manifest.json").read_text())["results"]
    assert results["trials"] == 2 and results["tables"]


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
    assert [(one["model"]["name"], one["model"]["repository"]) for one in found] == [
        (EMBEDDED, ""),
        ("one", "example/one"),
        ("other", "org/other"),
    ]
    with pytest.raises(SpecError, match="no model nobody"):
        _models(["nobody"], folder)
    with pytest.raises(SpecError, match="have the same name in the results folder: one"):
        _models(["one", "org/one"], folder)


def described(tmp_path: Path, **values: object) -> dict[str, Any]:
    """All values of a model by the file that describes it."""
    own = {"model": {"name": "m", "repository": "org/m", "weightsGiB": 1}} | values
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(own))
    return effective(model_values(tmp_path / "m.yaml"), {})


def test_a_list_in_the_values_is_written_as_it_is(tmp_path: Path) -> None:
    """For its own study; other experiments take grace's own list."""
    known = described(tmp_path, queries={"trials": {"study1": "a,b\r\n"}})
    assert asked(known, "study1-exp1", tmp_path) == ["study1-exp1", f"--trials={tmp_path}/m/study1.csv"]
    assert (tmp_path / "m" / "study1.csv").read_bytes() == b"a,b\r\n"
    assert asked(known, "study2-exp1", tmp_path) == ["study2-exp1"]


@pytest.mark.slow
def test_a_study_file_gives_the_tables_of_grace_run(tmp_path: Path) -> None:
    """Every experiment of a study of one's own, as `grace run FILE.yaml:EXPERIMENT` asks it."""
    given = command(tmp_path, "one")
    at = given.index("--experiments")
    given[at : at + 4] = ["--study", str(own_study.FILE)]
    env = environment(tmp_path)
    done = subprocess.run(given, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (model,) = json.loads(done.stdout)["models"]
    assert [Path(folder).parts[-3] for folder in model["results"]] == list(own_study.EXPERIMENTS)
    with in_thread(FaultServer(model="one")) as server:
        for folder in map(Path, model["results"]):
            name = folder.parts[-3]
            alone = tmp_path / "alone" / name
            ask = [sys.executable, "-m", "grace_client", "run", f"{own_study.FILE}:{name}", "--quiet"]
            ask += ["--server", server.url, "--model", "one", "--out", str(alone)]
            subprocess.run(ask, cwd=ROOT, check=True, capture_output=True, timeout=300)
            assert_same(tables(folder), tables(alone))
            assert (folder / "study.yaml").read_bytes() == own_study.FILE.read_bytes()


def test_the_campaigns_sample_wins_over_the_values(tmp_path: Path) -> None:
    """A model's other values stay, and its short name is that of the run."""
    known = described(tmp_path, queries={"experiments": {"study1-exp2": {"sample": 9}}})
    (values,), (campaign,) = (client_runs(known, "study1-exp2", release="m", sample=n) for n in (0, 3))
    assert values.folder == campaign.folder == Path("study1-exp2/m/m")
    assert [word for word in values.arguments if word not in campaign.arguments] == ["--sample=9"]
    assert "--sample=3" in campaign.arguments


def test_the_campaigns_ways_win_over_the_values(tmp_path: Path) -> None:
    """Of each experiment by itself."""
    known = described(tmp_path, queries={"experiments": {"study1-exp2": {"ways": "full"}}})
    (values,), (campaign,) = (client_runs(known, "study1-exp2", release="m", ways=w) for w in ("", "latin"))
    assert "--ways=full" in values.arguments and "--ways=latin" in campaign.arguments
    assert len(campaign.arguments) == len(values.arguments)


def test_options_of_the_command_win_over_the_values(tmp_path: Path) -> None:
    """Each is given once; the server listens on this machine's own address alone."""
    known = described(tmp_path, gpu={"count": 2})
    usual = Vllm((sys.executable, "serve"))
    assert usual.command(known, 1)[-2:] == ["--host=127.0.0.1", "--port=1"]
    own = Vllm((sys.executable, "serve", "--dtype", "float32", "--tensor-parallel-size=1"))
    names = [word.partition("=")[0] for word in own.command(known, 1) if word.startswith("--")]
    assert len(names) == len(set(names)) and "--shutdown-timeout" in names
    assert "--declare=dtype=float32" in own.reached(known, 1)
    whole = described(tmp_path, server={"args": ["org/m", "--host=0.0.0.0"]})
    bound = ["--host=127.0.0.1", "--port=1"]
    assert usual.command(whole, 1) == [sys.executable, "serve", "org/m", "--host=0.0.0.0", *bound]
    assert embedded(described(tmp_path, model={**whole["model"], "dtype": "bfloat16"})) == [
        "--model=org/m",
        "--dtype=bfloat16",
    ]


def test_variables_of_the_values_reach_the_server(tmp_path: Path) -> None:
    """Such as the one for batch invariance; one that only the cluster has is named."""
    program = tmp_path / "server.py"
    program.write_text("import os; print(os.environ['VLLM_BATCH_INVARIANT']); raise SystemExit(4)")
    extra = [{"name": "VLLM_BATCH_INVARIANT", "value": "yes"}, {"name": "TOKEN", "valueFrom": {}}]
    model = described(tmp_path, server={"extraEnv": extra})
    said: list[str] = []

    async def run() -> str:
        local = Local(
            tmp_path, ["study1-exp2"], sample=1, vllm=f"{sys.executable} {program}", say=said.append
        )
        (ended,) = await local.run([model], "again")
        assert ended.next == "again"
        return ended.reason

    assert "the server ended with exit code 4" in asyncio.run(run())
    assert "yes" in (tmp_path / "logs" / "m.log").read_text()
    assert any("TOKEN" in line for line in said)


@pytest.mark.parametrize(
    ("values", "minutes"),
    [
        ({}, 60 + 18),
        ({"weights": {"stage": "none"}}, 60 + 18),
        ({"server": {"startup": {"budgetSeconds": 7200}}}, 60 + 122),
        ({"queries": {"waitMinutes": 7, "queueMinutes": 300}}, 7),
        ({"model": {"name": "m", "repository": "org/m", "weightsGiB": 131.5}}, 60 + 329),
    ],
)
def test_a_server_here_is_waited_for_by_its_values(
    tmp_path: Path, values: dict[str, object], minutes: int
) -> None:
    """It downloads as it starts, whatever the stage, and an hour takes the place of the queue for GPUs."""
    (wait,) = (a for a in Vllm(("vllm",)).reached(described(tmp_path, **values), 1) if "--wait" in a)
    assert wait == f"--wait-for-server={minutes}"


@pytest.mark.parametrize(
    ("values", "vllm", "message"),
    [
        ({}, "nobody-has-this serve", "no program nobody-has-this.*pip install vllm"),
        ({}, "vllm 'serve", "not a command line"),
        ({}, " ", "empty"),
        ({"model": {"name": "m", "repository": "o/m", "weightsGiB": 1, "revision": "abc"}}, "", "--vllm"),
        (
            {"queries": {"trials": {"fromInput": {"study1": "mine.csv"}}}},
            "",
            "fromInput.study1 is mine.csv.*--trials",
        ),
        ({"queries": {"trials": {"folder": "/elsewhere"}}}, "", "/elsewhere.*--trials"),
        ({"queries": {"studyFromInput": "a/third.yaml"}}, "", "a/third.yaml.*--study"),
    ],
)
def test_what_this_machine_cannot_is_refused_at_once(
    tmp_path: Path, values: dict[str, object], vllm: str, message: str
) -> None:
    """Before any model has run, with what to do."""
    with pytest.raises(SpecError, match=message):
        check([described(tmp_path, **values)], [], Vllm.of(vllm))


def test_the_embedded_model_has_no_server() -> None:
    """Its folder has one."""
    with pytest.raises(SpecError, match="cannot serve the embedded model"):
        check([unlisted(EMBEDDED)], [], Vllm.of(sys.executable))


def test_a_missing_program_is_a_message(tmp_path: Path) -> None:
    """And exit code 2, of the command itself."""
    asked = command(tmp_path, "one")
    asked[asked.index("--vllm") + 1] = "nobody-has-this serve"
    done = subprocess.run(asked, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 2 and "There is no program nobody-has-this" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--gpu", "l40", "--set", "a=1"], "--gpu, --set"),
        (["--no-fetch"], "--fetch"),
        (["--poll", "5.0"], "--poll"),
        (["--namespace", "lab", "--context", "c"], "--namespace, --context"),
        (["--registry=r", "--budget-hours=3", "--fallback", "l40"], "--budget-hours, --registry, --fallback"),
    ],
)
def test_options_of_a_cluster_are_refused(given: list[str], named: str) -> None:
    """By name, also where they say what they would say anyhow."""
    with pytest.raises(SpecError, match=f"^{named}: .*--local"):
        refuse(asked_of_run(*given))


def test_options_of_a_local_campaign_are_not(tmp_path: Path) -> None:
    """All that mean something here."""
    refuse(asked_of_run("--local", "--models", "a/b", "--out", str(tmp_path), "--experiments", "study1-exp2"))
    refuse(
        asked_of_run(
            "--ways",
            "full",
            "--sample",
            "1",
            "--values-folder",
            str(tmp_path),
            "--vllm",
            "vllm serve",
            "--json",
        )
    )


def asked_of_run(*arguments: str) -> typer.Context:
    """The context of `grace campaign run` with these arguments."""
    group = typer.main.get_command(commands.app)
    run = group.commands["run"]  # type: ignore[attr-defined]
    return cast(typer.Context, run.make_context("run", list(arguments)))
