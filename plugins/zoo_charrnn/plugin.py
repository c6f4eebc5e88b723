"""The architectures that zoo_charrnn provides."""

from zoo import ArchitectureSpec, hookimpl

USUAL = {
    "epochs": 8,
    "batch_size": 64,
    "optimizer": "adam",
    "lr": 6e-3,
    "weight_decay": 1e-5,  # in the gradient: weights that learn nothing shrink, which a small corpus needs
    "schedule": "one-cycle",
    "clip_grad_norm": 1.0,
    "bptt": 16,
    "bptt_jitter": True,
}


@hookimpl
def zoo_architectures() -> list[ArchitectureSpec]:
    """Return the architectures."""
    return [
        ArchitectureSpec(
            name="rnn",
            target="zoo_charrnn.rnn:CharRNN",
            task="language-modeling",
            summary="Stateful RNN with tanh",
            training={**USUAL, "lr": 4e-3},
            landmarks={"head": "out"},
            parameters=93_544,
            source="fast.ai deep learning course, lesson 6 (CharSeqStatefulRnn)",
        ),
        ArchitectureSpec(
            name="rnn-cell",
            target="zoo_charrnn.rnn_cell:CharRNNCell",
            task="language-modeling",
            summary="Stateful RNN with an explicit loop over time steps",
            training={**USUAL, "lr": 4e-3},
            landmarks={"head": "out"},
            parameters=93_544,
            source="fast.ai deep learning course, lesson 6 (CharSeqStatefulRnn2)",
        ),
        ArchitectureSpec(
            name="gru",
            target="zoo_charrnn.gru:CharGRU",
            task="language-modeling",
            summary="Stateful GRU",
            training=USUAL,
            landmarks={"head": "out"},
            parameters=247_144,
            source="fast.ai deep learning course, lesson 6 (CharSeqStatefulGRU)",
        ),
        ArchitectureSpec(
            name="gru-cell",
            target="zoo_charrnn.gru_cell:CharGRUCell",
            task="language-modeling",
            summary="Stateful GRU with its gates written out",
            training=USUAL,
            landmarks={"head": "out"},
            parameters=247_144,
            source="fast.ai deep learning course, lesson 6 (the code of GRUCell)",
        ),
        ArchitectureSpec(
            name="lstm",
            target="zoo_charrnn.lstm:CharLSTM",
            task="language-modeling",
            summary="Stateful multi-layer LSTM",
            training={**USUAL, "epochs": 3},
            landmarks={"head": "out"},
            parameters=3_271_016,
            source="fast.ai deep learning course, lesson 6 (CharSeqStatefulLSTM)",
        ),
        ArchitectureSpec(
            name="lstm-cell",
            target="zoo_charrnn.lstm_cell:CharLSTMCell",
            task="language-modeling",
            summary="Stateful LSTM with its gates written out",
            training=USUAL,
            landmarks={"head": "out"},
            parameters=323_944,
            source="Hochreiter & Schmidhuber 1997, Long Short-Term Memory; forget gate: Gers et al. 2000",
        ),
        ArchitectureSpec(
            name="awd-lstm",
            target="zoo_charrnn.awd_lstm:AWDLSTM",
            task="language-modeling",
            summary="LSTM with weight dropping (DropConnect on recurrent weights) and variational dropout",
            training={**USUAL, "epochs": 30},
            landmarks={"head": "out"},
            parameters=3_271_016,
            source="Merity et al. 2018, Regularizing and Optimizing LSTM Language Models, arXiv 1708.02182",
        ),
        ArchitectureSpec(
            name="min-gru",
            target="zoo_charrnn.min_gru:CharMinGRU",
            task="language-modeling",
            summary="Residual minGRU layers, which can be trained on all time steps in parallel",
            training={
                **USUAL,
                "epochs": 10,
                "bptt": 64,
                "optimizer": "adamw",
                "lr": 3e-3,
                "weight_decay": 0.01,
            },
            landmarks={"head": "out"},
            parameters=2_661_944,
            source="Feng et al. 2024, Were RNNs All We Needed?, arXiv 2410.01201",
        ),
    ]
