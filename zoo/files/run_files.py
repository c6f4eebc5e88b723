"""Names of the files in a run directory."""

CONFIG = "config.toml"
"""The recipe and the options; the first file that a run writes."""
METRICS = "metrics.jsonl"
"""A row per epoch."""
STEPS = "steps.jsonl"
"""A row every few steps."""
CHECKPOINT = "checkpoint.safetensors"
"""The training state that a run resumes from."""
PREVIOUS_CHECKPOINT = "checkpoint.previous.safetensors"
"""The checkpoint before, which replaces a damaged one."""
BEST = "best.safetensors"
"""The weights of the best epoch by validation; missing without validation."""
LAST = "model.safetensors"
"""The weights of the last epoch; missing until the run is finished."""
CURVE = "curve.png"
"""The learning curves."""

CHECKPOINTS = (CHECKPOINT, PREVIOUS_CHECKPOINT)
WEIGHTS = (BEST, LAST, *CHECKPOINTS)
"""The files with weights; as a model, a run directory means the first of these that exists."""
ALL = (*WEIGHTS, CONFIG, METRICS, STEPS, CURVE)
