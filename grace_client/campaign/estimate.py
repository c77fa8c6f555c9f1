"""Estimates how long a model uses its GPUs, before anything is installed; pure.

Every number follows from stated assumptions. The report of a campaign has the measured ones. Rates of the
disk are those of the model's values, which are worst cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from grace_client.core.errors import SpecError
from grace_client.deploy.values import ModelValues
from grace_client.deploy.waits import download_seconds, startup_seconds

BUDGET_HOURS = 216.0
"""GPU-hours that the study has: nine GPUs, a day each."""
MOST_HOURS = 250.0
"""Largest budget in GPU-hours that needs no --over-budget."""
MODEL_HOURS = 24.0
"""Hours after which a campaign stops a model."""


@dataclass(frozen=True, slots=True)
class Peak:
    """Peak rates of a GPU, as its manufacturer publishes them.

    Attributes
    ----------
    tflops : float
        Dense 16-bit tensor operations with 32-bit accumulation, 10**12 per second.
    gbps : float
        Memory bandwidth, 10**9 bytes per second.
    """

    tflops: float
    gbps: float


# NVIDIA's data sheets: A100 80GB (312; SXM 2,039, PCIe 1,935), L40 (181, 864), A40 (149.7, 696), V100 SXM2
# (125, 900). NVIDIA's Ampere GA102 white paper: RTX 3090 (71, 936). RTX A6000: the A40's chip, and 768.
PEAKS = {
    "NVIDIA-A100-SXM4-80GB": Peak(312, 2039),
    "NVIDIA-A100-80GB-PCIe": Peak(312, 1935),
    "NVIDIA-GeForce-RTX-3090": Peak(71, 936),
    "NVIDIA-L40": Peak(181, 864),
    "NVIDIA-RTX-A6000": Peak(149.7, 768),
    "NVIDIA-A40": Peak(149.7, 696),
    "Tesla-V100-SXM2-32GB": Peak(125, 900),
}


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Assumptions of an estimate.

    Attributes
    ----------
    utilisation : float
        Share of the published peaks of operations and of bandwidth that a server reaches.
    in_flight : int
        Answers that are generated at the same time: the client's limit of requests in flight.
    characters_per_token : float
        Of prompts, because no tokenizer is at hand.
    block_size : int
        Tokens of a prefix block. Each further inner node of a trie costs half a block.
    """

    utilisation: float = 0.3
    in_flight: int = 64
    characters_per_token: float = 4.0
    block_size: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.utilisation <= 1:
            raise SpecError(f"--utilisation {self.utilisation:g}: expected a share above 0, at most 1")

    def formula(self) -> str:
        """In words, with the numbers."""
        return (
            f"A prompt has one token for every {self.characters_per_token:g} characters. Each further inner "
            f"node of its options costs {self.block_size // 2} tokens. Each token of a prompt costs 2 "
            "operations per parameter; a parameter has 2 bytes, or 0.53 in 4-bit weights. Every answer has "
            f"its largest length, a server draws {self.in_flight} answers at a time, and each of its steps "
            f"reads all weights. Servers reach {self.utilisation:.0%} of the peaks that are published for "
            "their GPUs."
        )


@dataclass(frozen=True, slots=True)
class Load:
    """The work of one experiment for a server.

    Attributes
    ----------
    experiment : str
        Its name.
    questions : int
        Distinct questions.
    prompt_tokens, answer_tokens : int
        Tokens to compute for prompts, and the largest number of tokens to generate.
    """

    experiment: str
    questions: int
    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimate of one model.

    Attributes
    ----------
    model, gpu : str
        Short names; `gpu` is the product or the resource.
    gpus : int
        Number of GPUs that it holds.
    memory_gib : float
        Memory of one GPU, in GiB.
    weights_gib : float
        Size of the weights, in GiB.
    questions : int
        Distinct questions of all experiments.
    download_hours, load_hours, query_hours : float
        Hours to download the weights, to start the server, to answer all questions.
    downloads_with_gpus : bool
        Whether the GPUs are held during the download.
    """

    model: str
    gpu: str
    gpus: int
    memory_gib: float
    weights_gib: float
    questions: int
    download_hours: float
    load_hours: float
    query_hours: float
    downloads_with_gpus: bool

    @property
    def hours(self) -> float:
        """Hours for which the GPUs are held."""
        return self.download_hours * self.downloads_with_gpus + self.load_hours + self.query_hours

    @property
    def gpu_hours(self) -> float:
        """GPUs times hours."""
        return self.gpus * self.hours

    def to_json(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self) | {"hours": self.hours, "gpu_hours": self.gpu_hours}


def estimate(
    values: ModelValues,
    effective: Mapping[str, Any],
    loads: Sequence[Load],
    assumptions: Assumptions,
) -> Estimate:
    """Estimate one model.

    Parameters
    ----------
    values : ModelValues
        The model and its GPUs.
    effective : mapping
        All values as the chart sees them, its defaults included; for the rates and the stage of the download.
    loads : sequence of Load
        The work of its experiments.
    assumptions : Assumptions
        Of the estimate.
    """
    return Estimate(
        model=values.name,
        gpu=next(iter(values.gpu.products), values.gpu.resource),
        gpus=values.gpu.count,
        memory_gib=values.gpu.memory_gib,
        weights_gib=values.model.weights_gib,
        questions=sum(work.questions for work in loads),
        download_hours=download_seconds(effective) / 3600,
        load_hours=startup_seconds(effective) / 3600,
        query_hours=query_seconds(values, loads, assumptions) / 3600,
        downloads_with_gpus=effective["weights"]["stage"] == "init",
    )


def query_seconds(values: ModelValues, loads: Sequence[Load], assumptions: Assumptions) -> float:
    """Seconds to ask everything: computing the prompts, then drawing the answers."""
    peak = _peak(values)
    gpus = max(values.gpu.count, 1) * assumptions.utilisation
    weights_bytes = values.model.weights_gib * 2**30
    # MXFP4 has 4.25 bits a weight (Open Compute Project, Microscaling formats 1.0). A mixture of experts uses
    # fewer of its parameters for a token, so for one this is too long rather than too short.
    parameters = weights_bytes / (0.53 if values.model.dtype == "auto" else 2.0)
    prompts = sum(work.prompt_tokens for work in loads) * 2 * parameters / (gpus * peak.tflops * 1e12)
    steps = sum(work.answer_tokens for work in loads) / assumptions.in_flight
    per_token = 2 * parameters * assumptions.in_flight / (gpus * peak.tflops * 1e12)
    return prompts + steps * max(weights_bytes / (gpus * peak.gbps * 1e9), per_token)


def _peak(values: ModelValues) -> Peak:
    """Peak of the slowest of the allowed GPUs; for unknown ones, of the slowest known GPU."""
    known = [PEAKS[name] for name in values.gpu.products if name in PEAKS] or list(PEAKS.values())
    return Peak(min(peak.tflops for peak in known), min(peak.gbps for peak in known))


@dataclass(frozen=True, slots=True)
class Total:
    """A campaign.

    Attributes
    ----------
    gpu_hours : float
        Estimated, one model after another.
    worst_gpu_hours : float
        All GPUs, each for as long as the campaign lets a model hold them.
    peak_gpus : int
        Held at a time, one model after another.
    at_once_gpus, at_once_gpu_hours : float
        With all servers at once, each of which runs until the last one is done: the sum of the GPUs, and that
        sum times the longest model's hours.
    """

    gpu_hours: float
    worst_gpu_hours: float
    peak_gpus: int
    at_once_gpus: int
    at_once_gpu_hours: float


def total(estimates: Sequence[Estimate], *, model_hours: float = MODEL_HOURS) -> Total:
    """Of all models; `model_hours` bounds each."""
    gpus = sum(one.gpus for one in estimates)
    return Total(
        gpu_hours=sum(one.gpu_hours for one in estimates),
        worst_gpu_hours=gpus * model_hours,
        peak_gpus=max((one.gpus for one in estimates), default=0),
        at_once_gpus=gpus,
        at_once_gpu_hours=gpus * max((one.hours for one in estimates), default=0.0),
    )


def check_budget(hours: float, *, over_budget: bool = False) -> None:
    """Refuse a budget of 0 and less, and one that is larger than planned.

    Raises
    ------
    SpecError
        For 0 and less, and above `MOST_HOURS` unless `over_budget`.
    """
    if hours <= 0:
        raise SpecError(f"--budget-hours {hours:g}: expected a number above 0")
    if hours > MOST_HOURS and not over_budget:
        raise SpecError(
            f"--budget-hours {hours:g} exceeds {MOST_HOURS:g}. If that has been agreed, add --over-budget"
        )
