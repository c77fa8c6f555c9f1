"""Values files, which describe models; read as Helm reads them.

`values/NAME.yaml` describes a model, `values/gpus/GPU.yaml` is laid over it for another GPU, as in
`helm install -f values/gemma-9b.yaml -f values/gpus/l40.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from grace_client.core.errors import SpecError, refused
from grace_client.kube import helm

_PACKAGE = Path(__file__).parents[1]
_DEPLOY = _PACKAGE / "_deploy"
Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=24)]


class _Part(BaseModel):
    # A file may have further keys: only the chart needs them, and its schema checks them.
    # The defaults here are those of the chart's values.yaml.
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", alias_generator=to_camel)


class ModelSection(_Part):
    """The section `model`: what the model is.

    Attributes
    ----------
    name : str
        Short name: of the release, its objects, the served model and the result folders.
    repository, revision : str
        Where the weights come from: Hugging Face id, and commit, tag or branch.
    gated : bool
        Whether the weights need a token.
    dtype : str
        The server's data type.
    float16 : bool
        Whether the model may run as float16.
    max_model_len : int
        Longest prompt and answer together, in tokens.
    weights_gib : float
        Size of the files that the server loads, in GiB.
    reasoning_parser : str
        The server's parser of reasoning; empty for none.
    """

    name: Name
    repository: Text
    revision: Text = "main"
    gated: bool = False
    dtype: Text = "auto"
    float16: bool = True
    max_model_len: int = Field(default=4096, gt=0)
    weights_gib: float = Field(alias="weightsGiB", gt=0, strict=False)
    reasoning_parser: str = ""


class GpuSection(_Part):
    """The section `gpu`: what the model runs on.

    Attributes
    ----------
    count : int
        Number of GPUs, over which the model is split; 0 for a server without any.
    resource : str
        Kubernetes resource name.
    products : tuple of str
        Allowed values of the node label `nvidia.com/gpu.product`; empty for any.
    memory_gib : float
        Memory of one GPU, in GiB.
    bfloat16 : bool
        Whether the GPU has bfloat16.
    min_cuda_driver : int
        Lowest major version of the driver; 0 asks for none.
    """

    count: int = Field(default=1, ge=0)
    resource: Text = "nvidia.com/gpu"
    products: tuple[Text, ...] = Field(default=(), strict=False)
    memory_gib: float = Field(default=80.0, alias="memoryGiB", gt=0, strict=False)
    bfloat16: bool = True
    min_cuda_driver: int = Field(default=0, ge=0)


class ModelValues(_Part):
    """A model's values, overlays included.

    Attributes
    ----------
    model : ModelSection
        Section `model`.
    gpu : GpuSection
        Section `gpu`.
    files : tuple of Path
        The files, in order.
    values : dict
        The files merged. Helm gets the files `layered`, because a null may also delete one of the chart's
        defaults.
    """

    model: ModelSection
    gpu: GpuSection = GpuSection()
    files: tuple[Path, ...] = Field(default=(), exclude=True)
    values: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)

    @property
    def name(self) -> str:
        """The model's short name."""
        return self.model.name


def layered(*documents: Mapping[str, Any]) -> dict[str, Any]:
    """One document for several: maps merge, later lists and scalars replace earlier ones.

    Nulls stay, because they delete defaults of the chart.
    """
    merged: dict[str, Any] = {}
    for document in documents:
        _lay(merged, document)
    return merged


def merge(*documents: Mapping[str, Any]) -> dict[str, Any]:
    """Merge values as `helm -f A -f B` does: maps merge, lists and scalars replace, null deletes."""
    return _without_nulls(layered(*documents))


def _lay(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, Mapping):
            if not isinstance(below.get(key), dict):
                below[key] = {}
            _lay(below[key], value)
        else:
            below[key] = value


def _without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_nulls(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def read_values(file: Path) -> dict[str, Any]:
    """One values file, nulls included.

    Raises
    ------
    SpecError
        For a file that cannot be read or is not a YAML mapping; with file and line.
    """
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise refused(error, file) from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{file}: cannot read the values file: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SpecError(f"{file}{line}: is not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SpecError(f"{file}: is not YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SpecError(
            f"{file}:1: is a {type(values).__name__}. A values file is a mapping, such as model: {{…}}"
        )
    return values


def model_values(*files: Path) -> ModelValues:
    """A model's values file and the overlays on it, in Helm's order: later files win.

    Raises
    ------
    SpecError
        For unreadable files and for values that describe no model; names file and key.
    """
    documents = [read_values(file) for file in files]
    merged = merge(*documents)
    try:
        found = ModelValues.model_validate(described(merged))
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            keys = tuple(step for step in fault["loc"])
            sources = [file for file, document in zip(files, documents, strict=True) if _has(document, keys)]
            # A missing key is in no file; the first one is the model's own.
            file = sources[-1] if sources else files[0]
            got = "" if fault["type"] == "missing" else f", not {fault['input']!r}"
            lines.append(f"{file}: {'.'.join(map(str, keys))}: {fault['msg']}{got}")
        raise SpecError("\n".join(lines)) from None
    return found.model_copy(update={"files": tuple(files), "values": merged})


def assigned(
    values: ModelValues, sets: Mapping[str, Any], assignments: helm.Assignments = helm.NO_ASSIGNMENTS
) -> ModelValues:
    """A model's values with single values over them.

    Parameters
    ----------
    values : ModelValues
        A model's values.
    sets : mapping
        As for `document`.
    assignments : helm.Assignments
        What the user assigns with `--set` and the like; wins over `sets`.

    Raises
    ------
    SpecError
        If helm refuses an assignment, and if the result describes no model.
    """
    own = document(values, sets)
    if assignments != helm.NO_ASSIGNMENTS:
        own = helm.assign(own, assignments)
    try:
        found = ModelValues.model_validate(described(merge(own)))
    except ValidationError as error:
        lines = (f"--set {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise SpecError("\n".join(lines)) from None
    return found.model_copy(update={"values": own})


def document(values: ModelValues, sets: Mapping[str, Any]) -> dict[str, Any]:
    """The one values document for Helm: the files, nulls included, and single values over them.

    Parameters
    ----------
    values : ModelValues
        A model's values.
    sets : mapping
        Keys may be dotted (`queries.runId`); values are anything that YAML can express.
    """
    files = [read_values(file) for file in values.files] or [values.values]
    return layered(*files, *nested(sets))


def effective(values: ModelValues, sets: Mapping[str, Any]) -> dict[str, Any]:
    """All values as the chart sees them, its own defaults included; for `sets` see `document`."""
    return merge(read_values(chart_folder() / "values.yaml"), document(values, sets))


def nested(sets: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One document for each single value; for `sets` see `document`."""
    return [_nested(key, value) for key, value in sets.items()]


def _nested(key: str, value: Any) -> dict[str, Any]:
    first, dot, rest = key.partition(".")
    return {first: _nested(rest, value) if dot else value}


def described(values: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a release's values that describes its model; the chart has a key `files` of its own."""
    return {key: values[key] for key in ("model", "gpu") if key in values}


def _has(document: object, keys: Sequence[str | int]) -> bool:
    for key in keys:
        try:
            document = document[key]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def models(folder: Path) -> dict[str, ModelValues]:
    """Every model of a values folder by its short name, in the order of names.

    Raises
    ------
    SpecError
        For a folder without models, two files for one model, and faulty files.
    """
    found: dict[str, ModelValues] = {}
    for file in sorted(folder.glob("*.yaml")):
        values = model_values(file)
        if values.name in found:
            raise SpecError(
                f"{file}: model.name: {found[values.name].files[0]} has the name {values.name!r} too. "
                "Give one of the two another name"
            )
        found[values.name] = values
    if not found:
        raise SpecError(f"{folder} has no values file of a model (*.yaml). Name another one: --values-folder")
    return dict(sorted(found.items()))


def overlays(folder: Path) -> dict[str, Path]:
    """The overlays for other GPUs in a values folder, by their short names."""
    return {file.stem: file for file in sorted((folder / "gpus").glob("*.yaml"))}


def _shipped(name: str, what: str) -> Path:
    """A folder that is beside the package in a checkout, and inside it in an installation."""
    for folder in (_DEPLOY / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise SpecError(
        f"This installation of grace has no {what} ({_PACKAGE}). Name the path of yours, or work in a "
        "checkout of the repository"
    )


def values_folder() -> Path:
    """Where the models' values files are, in a checkout or in an installed package."""
    return _shipped("values", "folder of values files")


def chart_folder() -> Path:
    """Where the Helm chart is, in a checkout or in an installed package."""
    return _shipped("charts", "Helm chart") / "grace"
