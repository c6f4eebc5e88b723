"""The entries of the five language models."""

from zoo import ArchitectureSpec, hookimpl

SUMMARIES = {
    "gpt": ("gpt:ZooGPT", "GPT with a cache of keys and values"),
    "mamba": ("mamba:Mamba", "Selective state-space model"),
    "rwkv": ("rwkv:RWKV", "Time mix of receptance, weight, key and value"),
    "min-lstm": ("min_lstm:MinLSTMLM", "LSTM whose gates do not depend on the state"),
    "tcn": ("tcn:TCN", "Dilated causal convolutions"),
}
CONTEXT = {"gpt": "block_size", "tcn": 32}


@hookimpl
def zoo_architectures():
    return [
        ArchitectureSpec(
            name=name,
            target=f"languages.{target}",
            task="language-modeling",
            summary=summary,
            training={"lr": 3e-3, "batch_size": 16, "clip_grad_norm": 1.0},
            context_length=CONTEXT.get(name, 0),
        )
        for name, (target, summary) in SUMMARIES.items()
    ]
