"""What other tools call a training field."""

from collections.abc import Mapping, Sequence

__all__ = ["SYNONYMS", "field_called"]

SYNONYMS: Mapping[str, Sequence[str]] = {
    "batch_size": ("batch", "batchsize", "bs", "train_batch_size", "per_device_train_batch_size"),
    "bptt": ("block_size", "context_length", "seq_len", "seq_length", "sequence_length"),
    "clip_grad_norm": ("clip", "clip_grad", "grad_clip", "gradient_clip_val", "max_grad_norm"),
    "ema_decay": ("ema", "model_ema", "model_ema_decay"),
    "epochs": ("max_epochs", "n_epochs", "num_epochs", "num_train_epochs"),
    "grad_accum_steps": ("accumulate", "accumulate_grad_batches", "gradient_accumulation_steps"),
    "label_smoothing": ("smoothing",),
    "lr": ("base_lr", "learning_rate", "lr0", "max_lr"),
    "mixup_alpha": ("mixup",),
    "optimizer": ("opt", "optim"),
    "patience": ("early_stopping", "early_stopping_patience"),
    "precision": ("amp", "dtype", "half"),
    "schedule": ("lr_scheduler", "lr_scheduler_type", "sched", "scheduler"),
    "warmup_epochs": ("warmup",),
    "weight_decay": ("decay", "wd"),
}


def field_called(name: str) -> str:
    """Return the training field that another tool calls by a name; empty if there is none.

    >>> field_called("learning_rate")
    'lr'
    """
    return next((field for field, names in SYNONYMS.items() if name in names), "")
