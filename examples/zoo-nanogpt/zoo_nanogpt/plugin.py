"""The entries of zoo-nanogpt."""

from zoo import ArchitectureSpec, Recipe, WeightsSpec, hookimpl

api = 1

CONTEXT = 128
TRAINING = {
    "epochs": 10,
    "batch_size": 16,
    "optimizer": "muon",
    "lr": 3e-3,
    "weight_decay": 0.1,
    "schedule": "one-cycle",
    "clip_grad_norm": 1.0,
    "bptt": CONTEXT,  # a shorter one would leave the later positions untrained
    "random_offset": True,  # otherwise each epoch would have the same contexts
}


@hookimpl
def zoo_architectures():
    """Return the architecture."""
    return [
        ArchitectureSpec(
            name="gpt",
            target="zoo_nanogpt.gpt:GPT",
            task="language-modeling",
            summary="Small GPT: pre-norm Transformer with learned positions and a key-value cache",
            context_length="context",
            training=TRAINING,
            landmarks={"features": "norm", "head": "head"},
            source="Radford et al. 2019, GPT-2; Karpathy, github.com/karpathy/nanoGPT",
        )
    ]


@hookimpl
def zoo_recipes():
    """Return the recipe."""
    return {
        "tinyshakespeare-gpt": Recipe(
            summary="GPT with 0.8 M parameters on the characters of Shakespeare, ten epochs",
            architecture="gpt",
            dataset="text/tinyshakespeare",
            model={"hidden_size": 128, "num_layers": 4, "num_heads": 4, "context": CONTEXT, "dropout": 0.0},
            train={**TRAINING, "batching": "stateful", "bptt_jitter": False},
        )
    }


@hookimpl
def zoo_weights():
    """Return the weights trained with the recipe, with one thread."""
    return {
        "tinyshakespeare-gpt": WeightsSpec(
            recipe="tinyshakespeare-gpt",
            file="weights/tinyshakespeare-gpt.safetensors",
            sha256="14cf351b5735833b9ddf68fb75549b47f3ea5d3254876ba2ae6e67d1cdacaead",
            bytes=1_657_696,
            params=818_304,
            metrics={"val": {"loss": 1.4215}, "test": {"loss": 1.6609, "bits_per_char": 2.3961}},
            seconds=562.8,
            license="MIT",
        )
    }
