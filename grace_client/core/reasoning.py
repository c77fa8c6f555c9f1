"""Whether a model reasons before it answers."""

from __future__ import annotations

from typing import Literal

Reasoning = Literal["on", "off", "off-by-prompt"]
"""Whether a model reasons before it answers.

``"on"``: it does. ``"off"``: its chat template's switch turns reasoning off, or an empty reasoning block is
written for it. ``"off-by-prompt"``: the prompt tells it not to.
"""

EARLIER_REASONING: dict[str, Reasoning] = {"none": "on", "template": "off", "prompt": "off-by-prompt"}
"""Earlier names of these values. Manifests may hold them, and the keys of questions are made of them."""
