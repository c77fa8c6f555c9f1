"""The chart's own papers, and the steps of chart-testing that need no cluster."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yamale
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from grace_client import __version__
from tests.chart import readme
from tests.chart.helm import CHART, HELMS, VALUES, RefusedError, render, run
from tests.conftest import ROOT

CHARTS = CHART.parent
CI = sorted((CHART / "ci").glob("*-values.yaml"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def test_the_readme_tells_every_value() -> None:
    """Made from the comments; `scripts/chart-docs` makes it anew."""
    values = (CHART / "values.yaml").read_text()
    assert [path for path, _, told in readme.rows(values) if not told] == []
    assert readme.made(readme.README.read_text(), values) == readme.README.read_text()
    assert len(list(readme.rows(values))) > 100


def test_a_value_without_a_comment_is_seen() -> None:
    """And one whose comment takes two lines is told whole."""
    text = "a:\n  # -- First\n  # and more\n  b: 1\n  c: 2\n# -- A map\nd: {x: 1}\n"
    assert list(readme.rows(text)) == [
        ("a.b", "1", "First and more"),
        ("a.c", "2", None),
        ("d", '{"x": 1}', "A map"),
    ]


@pytest.mark.parametrize(
    "file",
    [
        CHART / "Chart.yaml",
        CHART / "values.yaml",
        *CI,
        *sorted(VALUES.rglob("*.yaml")),
        *CHARTS.glob("*.yaml"),
    ],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_yamllint(file: Path) -> None:
    """With the configuration that chart-testing is given."""
    config = YamlLintConfig(file=str(CHARTS / "lintconf.yaml"))
    assert not [str(problem) for problem in linter.run(file.read_text(), config)]


def test_chart_yaml_has_its_schema() -> None:
    """The one that chart-testing is given; it refuses another."""
    schema = yamale.make_schema(CHARTS / "chart_schema.yaml")
    yamale.validate(schema, yamale.make_data(CHART / "Chart.yaml"))
    bad = yamale.make_data(
        content=(CHART / "Chart.yaml").read_text().replace("apiVersion: v2", "apiVersion: v1")
    )
    with pytest.raises(yamale.YamaleError):
        yamale.validate(schema, bad)


def test_the_versions_are_one() -> None:
    """Chart and package are released together; the image named for Artifact Hub is the default one."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    image = yaml.safe_load((CHART / "values.yaml").read_text())["server"]["image"]
    assert chart["version"] == chart["appVersion"] == __version__
    (listed,) = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    assert listed["image"] == f"{image['repository']}:{image['tag']}"
    assert yaml.safe_load(chart["annotations"]["artifacthub.io/changes"])


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("values", CI, ids=lambda path: path.stem)
def test_lint_and_render(values: Path, helm: str) -> None:
    """Its lint passes when a template calls `fail`, so each is rendered as well."""
    assert "1 chart(s) linted, 0 chart(s) failed" in run(
        helm, "lint", CHART, "--strict", "--namespace", "lab", "-f", values
    )
    assert render(values, helm=helm)


def test_chart_testing_finds_what_its_configuration_names() -> None:
    """Relative to the top of the repository, where it is started."""
    config = yaml.safe_load((CHARTS / "ct.yaml").read_text())
    assert (ROOT / config["lint-conf"]).exists() and (ROOT / config["chart-yaml-schema"]).exists()
    assert [ROOT / folder for folder in config["chart-dirs"]] == [CHARTS]


def test_the_schema_is_closed_and_of_the_draft_that_helm_knows() -> None:
    """No key of ours may be misspelt or left out at any level, and every default is described."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert all(ref.startswith("#/definitions/") for ref in references(SCHEMA))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    open_ones = {"podSecurityContext", "containerSecurityContext", "labels"}

    def closed(schema: dict[str, object], value: object, path: str) -> None:
        if isinstance(value, dict) and path.rpartition(".")[2] not in open_ones and value:
            while "properties" not in schema:
                schema = resolved(schema)
            assert schema.get("additionalProperties") is False, path
            described = schema["properties"]
            assert isinstance(described, dict)
            # Helm takes a key that is null out of the values; only a required one is then missed.
            assert schema["required"] == [key for key in described if key != "global"], path
            for key, inner in value.items():
                closed(described[key], inner, f"{path}.{key}")

    closed(SCHEMA, defaults, "")


def resolved(schema: dict[str, object]) -> dict[str, object]:
    """Follow a reference, or the reference among several conditions."""
    if "$ref" in schema:
        found: dict[str, object] = SCHEMA["definitions"][str(schema["$ref"]).rpartition("/")[2]]
        return found
    conditions = schema["allOf"]
    assert isinstance(conditions, list)
    return next(part for part in conditions if "$ref" in part)


def references(schema: object) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
        return own + [ref for part in schema.values() for ref in references(part)]
    return [ref for part in schema for ref in references(part)] if isinstance(schema, list) else []


def test_defaults_alone_say_what_is_missing() -> None:
    """A release needs a model."""
    with pytest.raises(RefusedError, match="at '/model/name'"):
        render()


def test_what_is_packaged_is_what_helm_needs(tmp_path: Path) -> None:
    """Templates, schema, the scripts they hold; not the test values."""
    import tarfile

    run("helm", "package", CHART, "--destination", tmp_path)
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as package:
        names = set(package.getnames())
    assert {"grace/values.schema.json", "grace/files/download.py", "grace/README.md"} <= names
    assert not [name for name in names if "/ci/" in name]
