"""An independent teacher-forcing implementation: one plain forward pass over prompt and form together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def teacher_forced(model: Any, prompt_ids: Sequence[int], form_ids: Sequence[int]) -> float:
    """Log P(form | prompt) in nats: the sum of the log-probabilities of the form's tokens."""
    whole = torch.tensor([[*prompt_ids, *form_ids]])
    with torch.no_grad():
        logits = model(whole).logits[0].to(torch.float64)
    total = 0.0
    for place, token in enumerate(form_ids, start=len(prompt_ids)):
        row = logits[place - 1]
        total += float(row[token] - torch.logsumexp(row, dim=0))
    return total
