"""The list of arguments, `files/arguments.yaml`: its names are those of vLLM and of `grace run`."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
import typer.main
import yaml

from grace_client.cli import app
from grace_client.core import paths
from tests.chart.helm import CHART, VALUES, Object, args, containers, of, one, render

TEXT = (CHART / "templates" / "_arguments.tpl").read_text("utf-8")
PRINT = """
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
for action in make_arg_parser(FlexibleArgumentParser())._actions:
    print(*action.option_strings)
"""
GONE = {"task"}
"""Flags of older versions of vLLM."""


LISTS = yaml.safe_load((CHART / "files" / "arguments.yaml").read_text("utf-8"))


def named(of: str) -> set[str]:
    """Flags that the chart gives, or that follow from a value, of `server` or `client`."""
    return {*(entry["argument"].removeprefix("--") for entry in LISTS[of]["given"]), *LISTS[of]["from"]}


def query(objects: list[Object]) -> set[str]:
    return {
        name
        for job in of(objects, "Job", "query")
        for c in containers(job["spec"]["template"])
        for name in args(c)
    }


def test_what_the_chart_gives_itself_is_in_them() -> None:
    """For the server and for its clients; but `--declare` may be given again."""
    objects = render(
        VALUES / "gpt-oss-20b.yaml",
        values={
            "queries": {
                "experiments": {
                    "study1-exp1": {"sample": 5, "reasoning": "on"},
                    "study1-exp2": {"ways": "one-by-one"},
                }
            }
        },
    )
    server = containers(one(objects, "Deployment")["spec"]["template"])[-1]
    flags = {word.removeprefix("--").partition("=")[0] for word in server["args"] if word.startswith("--")}
    assert len(flags) == 11
    assert flags <= named("server")
    assert query(objects) == named("client")


def test_the_clients_table_is_of_options_that_grace_run_has() -> None:
    """By their names there."""
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    options = {name for option in command.params for name in option.opts}
    assert {f"--{name}" for name in named("client")} <= options


def test_the_variables_are_those_that_the_chart_sets() -> None:
    """Each of the server's and of a client's, and no other."""
    objects = render(VALUES / "gemma-9b.yaml")
    server = containers(one(objects, "Deployment")["spec"]["template"])[-1]
    client = containers(of(objects, "Job", "query")[0]["spec"]["template"])[0]
    (line,) = re.findall(r"\$server := list (.*?) \}\}", TEXT)
    assert {variable["name"] for variable in server["env"]} == set(re.findall(r'"(\w+)"', line))
    (line,) = re.findall(r'"queries.extraEnv" \(list (.*?)\)', TEXT)
    assert {variable["name"] for variable in client["env"]} == set(re.findall(r'"(\w+)"', line))


@pytest.mark.vllm
def test_the_servers_tables_are_of_flags_that_vllm_has() -> None:
    """And no other flag of vLLM is taken for the beginning of one of them."""
    python = paths.cache() / "vllm-cpu" / "env" / "bin" / "python"
    if not os.environ.get("GRACE_TEST_VLLM") or not python.exists():
        pytest.skip("this needs vLLM's CPU build; 'scripts/test --all' sets it up")
    done = subprocess.run([python, "-c", PRINT], capture_output=True, text=True, timeout=300, check=True)
    flags = {word.lstrip("-") for word in done.stdout.split() if word.startswith("-")}
    assert len(flags) > 200
    names = named("server") | LISTS["server"]["refused"].keys() | LISTS["server"]["refusedBeside"].keys()
    stems = {name.removesuffix("*") for name in names if name.endswith("*")}
    assert {n for n in names - GONE if not any(f.startswith(n.removesuffix("*")) for f in flags)} == set()
    others = {flag for flag in flags - names if not flag.startswith(tuple(stems))}
    assert {
        (flag, name) for flag in others for name in names if len(flag) > 2 and name.startswith(flag)
    } == set()
