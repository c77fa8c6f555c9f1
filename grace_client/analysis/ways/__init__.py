"""How far an effect depends on the way it was asked: its values over ways, their variance, and a verdict.

A way of asking is a combination of levels of factors: the order of listed options, the wording, the cue.
Every function takes the answers in all ways, ``analysis.read(source, ways=True)``, or what another function
here made of them.
"""

from grace_client.analysis.ways._averages import averaged
from grace_client.analysis.ways._components import components
from grace_client.analysis.ways._values import Effect, effects, per_item
from grace_client.analysis.ways._verdict import verdict

__all__ = ["Effect", "averaged", "components", "effects", "per_item", "verdict"]
