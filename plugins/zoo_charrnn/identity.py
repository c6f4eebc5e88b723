"""Identity initialization of recurrent matrices."""

from __future__ import annotations

from torch import nn


def start_as_identity(rnn: nn.RNN | nn.RNNCell) -> None:
    """Initialize each hidden-to-hidden matrix as the identity, so that the state persists at first.

    Source: Le, Jaitly & Hinton 2015, "A Simple Way to Initialize Recurrent Networks of Rectified Linear
    Units", arXiv 1504.00941; with tanh as in the fast.ai deep learning course, lesson 6.
    """
    for name, parameter in rnn.named_parameters():
        if name.startswith("weight_hh"):
            nn.init.eye_(parameter)
