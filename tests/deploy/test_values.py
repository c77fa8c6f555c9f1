"""Values files are read as Helm reads them, and errors name file and key."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from grace_client.core.errors import SpecError
from grace_client.deploy import values
from grace_client.deploy.values import (
    GpuSection,
    ModelSection,
    merge,
    model_values,
    models,
    overlays,
    read_values,
)
from tests.conftest import ROOT

GEMMA = """\
# Gemma 2 9B Instruct
model:
  name: gemma-9b
  repository: google/gemma-2-9b-it
  gated: true
  dtype: bfloat16
  weightsGiB: 17
gpu:
  resource: nvidia.com/a100
  products: [NVIDIA-A100-SXM4-80GB, NVIDIA-A100-80GB-PCIe]
server:
  resources:
    limits: {memory: 76Gi, nvidia.com/a100: 1}
"""
RTX = """\
gpu:
  resource: nvidia.com/gpu
  products: [NVIDIA-GeForce-RTX-3090]
  memoryGiB: 24
server:
  resources:
    limits: {nvidia.com/a100: null}
"""

trees = st.recursive(
    st.integers(0, 9) | st.none() | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A values folder with one model and one overlay."""
    (tmp_path / "gpus").mkdir()
    (tmp_path / "gemma-9b.yaml").write_text(GEMMA)
    (tmp_path / "gpus" / "rtx-3090.yaml").write_text(RTX)
    return tmp_path


def test_a_model_alone_and_under_an_overlay(folder: Path) -> None:
    """Overlays replace what they name and keep the rest."""
    file, overlay = folder / "gemma-9b.yaml", overlays(folder)["rtx-3090"]
    alone = models(folder)["gemma-9b"]
    assert alone.name == "gemma-9b"
    assert alone.model == ModelSection.model_validate(
        {
            "name": "gemma-9b",
            "repository": "google/gemma-2-9b-it",
            "gated": True,
            "dtype": "bfloat16",
            "weightsGiB": 17,
        }
    )
    assert (alone.gpu.resource, alone.gpu.memory_gib, len(alone.gpu.products)) == ("nvidia.com/a100", 80, 2)
    assert alone.files == (file,)
    other = model_values(file, overlay)
    assert (other.gpu.resource, other.gpu.memory_gib) == ("nvidia.com/gpu", 24)
    assert other.gpu.products == ("NVIDIA-GeForce-RTX-3090",)
    assert other.model == alone.model
    assert other.values["server"] == {"resources": {"limits": {"memory": "76Gi"}}}
    with pytest.raises(ValidationError, match="frozen"):
        other.model.name = "x"


def test_maps_merge_lists_and_scalars_replace_null_deletes() -> None:
    """In the order of the files."""
    one = {"a": {"x": 1, "y": {"p": 1, "q": 2}, "l": [1, 2]}, "b": 3, "c": {"z": 1}, "e": 1}
    two: dict[str, Any] = {
        "a": {"x": None, "y": {"p": None, "r": 5}, "l": [3]},
        "b": {"k": 1},
        "c": None,
        "e": {},
    }
    three = {"c": {"w": 2}, "b": None, "d": None}
    assert merge(one, two, three) == {"a": {"y": {"q": 2, "r": 5}, "l": [3]}, "c": {"w": 2}, "e": {}}
    assert one["c"] == {"z": 1}
    assert two["b"] == {"k": 1}


@given(trees, trees)
def test_merging_changes_none_of_its_documents(one: dict[str, Any], two: dict[str, Any]) -> None:
    """And an overlay laid on twice does no more than once."""
    before = json.dumps([one, two])
    assert merge(one, two, two) == merge(one, two)
    assert json.dumps([one, two]) == before


@pytest.mark.skipif(shutil.which("helm") is None, reason="there is no helm on the PATH")
def test_merging_is_helms_own(tmp_path: Path) -> None:
    """Helm renders the same map from the same files (nulls show as such where the chart has no default)."""
    documents: list[dict[str, Any]] = [
        {"a": {"x": 1, "m": {"p": 1, "q": 2}, "l": [1, 2]}, "b": 3, "c": {"z": 1}},
        {"a": {"x": None, "m": {"p": None, "r": 5}, "l": [3]}, "b": {"k": 1}, "c": None},
        {"c": {"w": 2}},
    ]
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: m\nversion: 0.1.0\n")
    (tmp_path / "templates" / "v.yaml").write_text("{{ .Values | toJson }}")
    command = ["helm", "template", "m", str(tmp_path)]
    for i, document in enumerate(documents):
        (tmp_path / f"{i}.yaml").write_text(yaml.safe_dump(document))
        command += ["-f", str(tmp_path / f"{i}.yaml")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert merge(yaml.safe_load(shown)) == merge(*documents)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GEMMA.replace("  name: gemma-9b\n", ""), r"m\.yaml: model\.name: Field required$"),
        (GEMMA.replace("17", "-1"), r"m\.yaml: model\.weightsGiB: .*greater than 0, not -1$"),
        (GEMMA.replace("gated: true", "gated: maybe"), r"m\.yaml: model\.gated: .*boolean, not 'maybe'$"),
        (GEMMA.replace("gemma-9b\n", "Gemma 9B\n", 1), r"m\.yaml: model\.name: .*pattern.*not 'Gemma 9B'$"),
        (GEMMA.replace("bfloat16", "16"), r"m\.yaml: model\.dtype: .*string, not 16$"),
        ("gpu: {count: 1}", r"m\.yaml: model: Field required$"),
        ("model: 3", r"m\.yaml: model: .*, not 3$"),
        ("", r"m\.yaml: model: Field required$"),
        ("- a\n", r"m\.yaml:1: is a list"),
        ("model:\n  name: [x\n", r"m\.yaml:3: is not YAML: "),
        ("a: \x00", r"m\.yaml: is not YAML: "),
    ],
)
def test_errors_name_file_and_key(text: str, message: str, tmp_path: Path) -> None:
    """So that one knows where to go."""
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(SpecError, match=message):
        models(tmp_path)


def test_errors_name_the_file_that_said_it(folder: Path) -> None:
    """An overlay's fault is not the model's."""
    overlay = folder / "gpus" / "rtx-3090.yaml"
    overlay.write_text("gpu: {memoryGiB: lots, products: [3]}\n")
    with pytest.raises(SpecError) as error:
        model_values(folder / "gemma-9b.yaml", overlay)
    first, second = sorted(str(error.value).splitlines())
    assert first.startswith(f"{overlay}: gpu.memoryGiB: ")
    assert second.startswith(f"{overlay}: gpu.products.0: ")


def test_a_folder_must_hold_models_and_each_once(folder: Path) -> None:
    """Two files for one model would be two truths."""
    (folder / "again.yaml").write_text(GEMMA)
    with pytest.raises(SpecError, match=r"gemma-9b\.yaml: model\.name: .*again\.yaml.*'gemma-9b'"):
        models(folder)
    with pytest.raises(SpecError, match="no values file"):
        models(folder / "gpus" / "none")
    with pytest.raises(SpecError, match="it does not exist"):
        read_values(folder / "none.yaml")


def test_the_folders_lie_beside_the_package_or_inside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout has them beside it, an installed package inside; else the message says so."""
    package = tmp_path / "site" / "grace_client"
    monkeypatch.setattr(values, "_PACKAGE", package)
    monkeypatch.setattr(values, "_DEPLOY", package / "_deploy")
    with pytest.raises(SpecError, match="no folder of values files"):
        values.values_folder()
    (tmp_path / "site" / "values").mkdir(parents=True)
    assert values.values_folder() == tmp_path / "site" / "values"
    for name in ("values", "charts"):
        (package / "_deploy" / name).mkdir(parents=True)
    assert values.values_folder() == package / "_deploy" / "values"
    assert values.chart_folder() == package / "_deploy" / "charts" / "grace"


@pytest.mark.skipif(not (ROOT / "charts").is_dir(), reason="this checkout has no chart")
def test_defaults_are_the_charts_and_every_model_can_be_read() -> None:
    """What a values file leaves out means the same to Python and to the chart."""
    chart = read_values(values.chart_folder() / "values.yaml")
    for part, key in ((ModelSection, "model"), (GpuSection, "gpu")):
        for name, field in part.model_fields.items():
            if not field.is_required():
                default = list(field.default) if isinstance(field.default, tuple) else field.default
                assert chart[key][field.alias] == default, f"{key}.{name}"
    found = models(values.values_folder())
    assert {"gemma-2b", "gemma-9b", "gemma-27b", "llama-70b", "gpt-oss-20b", "gpt-oss-120b"} <= found.keys()
    for one in found.values():
        for overlay in overlays(values.values_folder()).values():
            assert model_values(*one.files, overlay).model == one.model
