"""What zoo_charrnn provides."""

from zoo import ArchitectureSpec, Recipe, hookimpl


@hookimpl
def zoo_architectures() -> list[ArchitectureSpec]:
    return [
        ArchitectureSpec(
            name="lstm",
            target="zoo_charrnn.lstm:CharLSTM",
            task="language-modelling",
            summary="Stateful multi-layer LSTM",
            recipe=Recipe(
                epochs=3,
                batch_size=64,
                bptt=16,
                bptt_jitter=True,
                optimizer="adam",
                lr=4e-3,
                schedule="one-cycle",
                clip_norm=1.0,
            ),
            source="fast.ai deep learning course, lesson 6 (CharSeqStatefulLSTM)",
        )
    ]
