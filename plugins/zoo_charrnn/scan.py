"""A linear recurrence over time, computed in parallel on a GPU and step by step on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor


def scan(keep: Tensor, new: Tensor, hidden: Tensor) -> Tensor:
    """Return h_t = keep_t * h_(t-1) + new_t for all t, (T, B, H), from the initial state `hidden` (B, H).

    On a CPU, the step-by-step loop is faster.
    """
    return scan_by_steps(keep, new, hidden) if keep.is_cpu else scan_by_doubling(keep, new, hidden)


def scan_by_steps(keep: Tensor, new: Tensor, hidden: Tensor) -> Tensor:
    """Compute the recurrence one time step at a time."""
    states: list[Tensor] = []
    for keep_now, new_now in zip(keep, new, strict=True):
        hidden = torch.addcmul(new_now, keep_now, hidden)  # (B, H)
        states.append(hidden)
    return torch.stack(states)


def scan_by_doubling(keep: Tensor, new: Tensor, hidden: Tensor) -> Tensor:
    """Compute the recurrence in log2(T) rounds, each parallel over time.

    Two neighboring spans of time combine into one: h -> a h + b, followed by h -> c h + d, is h -> ca h + (cb
    + d). At the start of a round, `keep_t` and `new_t` describe the span of `reach` steps that ends at t.

    Source: Hillis & Steele 1986, "Data Parallel Algorithms".
    """
    reach = 1
    while reach < len(keep):
        joined = torch.addcmul(new[reach:], keep[reach:], new[:-reach])
        new = torch.cat([new[:reach], joined])
        keep = torch.cat([keep[:reach], keep[reach:] * keep[:-reach]])
        reach *= 2
    return torch.addcmul(new, keep, hidden)
