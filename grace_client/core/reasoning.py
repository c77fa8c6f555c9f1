"""Whether a model reasons before it answers."""

from __future__ import annotations

from typing import Literal

Reasoning = Literal["on", "off", "off-by-prompt"]
"""Whether a model reasons before it answers.

``"on"``: it reasons. ``"off"``: a switch of its chat template turns reasoning off, or grace writes an empty
reasoning block. ``"off-by-prompt"``: the prompt asks the model not to reason.
"""

EARLIER_REASONING: dict[str, Reasoning] = {"none": "on", "template": "off", "prompt": "off-by-prompt"}
"""Earlier names of these values. Old manifests contain them, and the keys of questions depend on them."""
