"""The design of a study that is planned, with the variance that is assumed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grace_client.core.errors import SpecError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    r"""Items, answers and ways of a study, and how much its answers are assumed to vary.

    The answer to item i in condition c, asked in way w, is :math:`y = \mu_c + A_i + B_{ic} + W_{wc} + e`, all
    terms normal and independent.

    Parameters
    ----------
    items : int
        Number of items (stories). If `within` is False, in each condition.
    answers : int
        Different answers to an item in a condition and way: those of different stimuli of the item, of
        replicates, or of people. Copies to which a model gives the same answer count once.
    ways : int
        Ways of asking over which answers are averaged. They are the same in all conditions and items.
    within : bool
        Whether each item is in every condition. If not, each is in one, and the test compares other items.
    item : float
        Standard deviation between items, in the unit of the outcome. It does not matter if `within`.
    item_condition : float
        Standard deviation of an item's own effect of a condition.
    way : float
        Standard deviation of a way's own effect of a condition, the same for all items. The test over items
        does not see it: it makes effects of these ways look like effects of the conditions. (What a way does
        to all conditions alike cancels.)
    residual : float
        Standard deviation of the answers to one item in one condition and way.

    Examples
    --------
    >>> from grace_client.analysis import power
    >>> power.Design(items=6, item_condition=0.1, residual=0.1).spread
    0.2
    """

    items: int
    answers: int = 1
    ways: int = 1
    within: bool = True
    item: float = 0.0
    item_condition: float = 0.0
    way: float = 0.0
    residual: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("items", 2), ("answers", 1), ("ways", 1)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise SpecError(f"{name}={value!r}: give a whole number of at least {least}")
        for name in ("item", "item_condition", "way", "residual"):
            value = getattr(self, name)
            if not (value >= 0 and np.isfinite(value)):
                raise SpecError(f"{name}={value!r}: give a standard deviation of at least 0")
        if not self.spread > 0:
            raise SpecError("items do not differ in this design. Give item_condition= or residual= above 0")

    @property
    def spread(self) -> float:
        """Standard deviation of the difference between two conditions: of an item, or of two items."""
        own = 0.0 if self.within else self.item**2
        each = own + self.item_condition**2 + self.residual**2 / (self.answers * self.ways)
        return float(np.sqrt(2 * each))

    def draw(self, conditions: int, studies: int, generator: np.random.Generator) -> Array:
        """Means of items, without the conditions' effects, shape (studies, items, conditions)."""
        shape = (studies, self.items, conditions)
        each = np.hypot(self.item_condition, self.residual / np.sqrt(self.answers * self.ways))
        y = generator.normal(0, each, shape)
        y += generator.normal(0, self.item, (studies, self.items, 1 if self.within else conditions))
        # The mean of normal deviations of several ways is one of them, smaller by the root of their number.
        y += generator.normal(0, self.way / np.sqrt(self.ways), (studies, 1, conditions))
        return y
