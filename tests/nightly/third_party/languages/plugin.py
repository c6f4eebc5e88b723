"""The entries of the three language models."""

from zoo import ArchitectureSpec, hookimpl

SUMMARIES = {
    "mamba": ("mamba:Mamba", "Selective state-space model"),
    "rwkv": ("rwkv:RWKV", "Time mix of receptance, weight, key and value"),
    "tcn": ("tcn:TCN", "Dilated causal convolutions"),
}
CONTEXT = {"tcn": 32}


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
