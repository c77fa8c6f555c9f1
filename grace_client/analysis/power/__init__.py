"""Before a study runs: how often a planned contrast will be significant, and what effect its items can show.

The studies are simulated with assumed variance components and analysed with the test of `contrasts`.
"""

from grace_client.analysis.power._components import assumed
from grace_client.analysis.power._design import Design
from grace_client.analysis.power._simulation import sensitivity, simulate

__all__ = ["Design", "assumed", "sensitivity", "simulate"]
