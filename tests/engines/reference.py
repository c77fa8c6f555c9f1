"""An independent teacher-forcing implementation: one plain forward pass over prompt and form together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


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


def next_logprobs(model: Any, ids: Sequence[int]) -> NDArray[np.float64]:
    """Log-probability of every token after some ids, in nats, shape (vocabulary,)."""
    with torch.no_grad():
        row = model(torch.tensor([list(ids)])).logits[0, -1].to(torch.float64)
    return np.asarray(torch.log_softmax(row, dim=0).numpy())
