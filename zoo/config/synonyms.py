"""What timm, transformers, Keras, fastai and other tools call things, and what zoo has instead."""

from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn

from zoo.errors import did_you_mean

__all__ = ["meant", "refuse_attribute", "renamed"]

# Other names of training fields and of options, by the name that they have here
_SYNONYMS: Mapping[str, Sequence[str]] = {
    "batch_size": ("batch", "batchsize", "bs", "train_batch_size", "per_device_train_batch_size"),
    "bptt": ("block_size", "context_length", "seq_len", "seq_length", "sequence_length"),
    "clip_grad_norm": ("clip", "clip_grad", "grad_clip", "gradient_clip_val", "max_grad_norm"),
    "dropout": ("drop_rate", "dropout_rate"),
    "ema_decay": ("ema", "model_ema", "model_ema_decay"),
    "epochs": ("max_epochs", "n_epoch", "n_epochs", "num_epochs", "num_train_epochs"),
    "grad_accum_steps": ("accumulate", "accumulate_grad_batches", "gradient_accumulation_steps"),
    "in_channels": ("channels", "in_chans", "num_channels"),
    "label_smoothing": ("smoothing",),
    "length": ("max_length", "max_new_tokens", "max_tokens", "num_tokens", "tokens"),
    "lr": ("base_lr", "learning_rate", "lr0", "max_lr"),
    "mixup_alpha": ("mixup",),
    "optimizer": ("opt", "optim"),
    "pattern": ("filter", "query"),
    "patience": ("early_stopping", "early_stopping_patience"),
    "precision": ("amp", "dtype", "half"),
    "schedule": ("lr_scheduler", "lr_scheduler_type", "sched", "scheduler"),
    "size": ("image_size", "img_size", "imgsz", "resolution"),
    "threads": ("num_workers", "workers"),
    "top": ("k", "top_k", "topk"),
    "warmup_epochs": ("warmup",),
    "weight_decay": ("decay", "wd"),
}
_LOAD = "zoo.load(NAME) returns a trained model"
_TRAIN = "zoo.train('resnet20', 'shapes') trains"
# Names that are looked for in vain: where, which ones, and the way here, in which {} is the name that was
# written. A way that is one word is what the name is called here
_WAYS: Sequence[tuple[str, str, str]] = (
    ("zoo", "AutoModel from_pretrained get_model load_checkpoint load_learner load_model", _LOAD),
    ("zoo", "evaluate export features generate pipeline predict sample", f"{_LOAD}, which can"),
    ("zoo", "ImageFolder get_dataset load_data load_dataset", "zoo.open_dataset(NAME) opens data"),
    ("zoo", "Learner Trainer TrainingArguments fine_tune finetune fit vision_learner", _TRAIN),
    ("zoo", "find_lr lr_finder", "lr_find"),
    ("zoo", "list_architectures", "list_models"),
    ("zoo", "AutoTokenizer tokenizer", "tokenize"),
    ("Model", "forward modules named_parameters parameters state_dict", "of the nn.Module: model.module.{}"),
    ("Model", "eval", "model.module is in evaluation mode already; model.evaluate() measures the model"),
    ("Model", "cpu cuda half to", "zoo.load(NAME, device='cuda') chooses the device"),
    ("Model", "push_to_hub save save_pretrained", "model.path is its file; model.export() converts it"),
    ("Model", "cfg config default_cfg metrics", "model.card holds the options, the training and the metrics"),
    ("Model", "complete generate", "sample"),
    ("Model", "embed encode extract_features forward_features", "features"),
    ("Model", "classify get_preds predict_proba", "model.predict(INPUTS, top=3) gives probabilities"),
    ("Model", "fine_tune finetune fit fit_one_cycle train", f"{_TRAIN}, from_weights=model.path fine-tunes"),
    ("Model", "gradcam grad_cam interpret show_results", "model.analyze(NAME) does; see model.analyzers"),
    ("Model", "export_onnx to_onnx to_torchscript", "model.export('model.onnx') writes a file"),
    ("Model", "class_names id2label labels names", "classes"),
    ("Model", "tokenizer vocab", "vocabulary"),
    ("Model", "num_params summary", "print(model.module) lists the layers; see model.num_parameters"),
    ("Model", "score test val validate", "evaluate"),
    ("Run", "analyze evaluate export features predict sample", "its model does that: run.model.{}(...)"),
    ("Run", "best_model learn learner module net", "model"),
    ("Run", "save save_model weights", "it is saved already: run.model.path is its weights file"),
    ("Run", "fit resume train", "zoo.resume(run.directory) continues a run that was stopped"),
    ("Run", "log logs loss metrics results", "run.history has the metrics of each epoch"),
    ("Run", "plot_loss plot_losses plot_metrics show", "plot"),
    ("Run", "args config hparams params", "recipe"),
    ("Run", "dir folder output_dir path", "directory"),
    ("architecture", "checkpoint pretrained weights", f"{_LOAD}; train(from_weights=NAME) fine-tunes"),
    ("list_models", "pretrained weights", "zoo.list_weights() lists trained models"),
    ("load", "pretrained weights", _LOAD),
    ("predict sample evaluate", "device", "zoo.load(NAME, device='cuda') chooses it"),
    ("sample", "do_sample", "temperature=0 takes the likeliest token, any other value draws"),
    ("train", "checkpoint pretrained weights", "from_weights"),
    ("train", "resume_from_checkpoint", "resume"),
    ("train", "accelerator cuda gpu gpus", "device"),
    ("train", "logdir name output_dir project save_dir", "run"),
    ("train", "num_workers workers", "threads"),
    ("train", "verbose", "progress"),
    ("train", "callbacks cbs logger", "training has no callbacks; run.history has the metrics"),
    ("train", "criterion loss loss_fn loss_func metrics", "the task decides; `zoo list tasks` lists them"),
    ("dataset", "split train", "zoo.open_dataset(NAME).split('train') returns a split"),
    ("dataset", "batch_size shuffle", "torch's DataLoader has it: DataLoader(data.split('train'), {}=...)"),
    ("dataset", "coco imagenet imagenette imagewoof", "'folder' reads images of your own, with root=FOLDER"),
)


def renamed(name: str, known: Collection[str]) -> str:
    """Return which of the known names is what another tool calls by a name; empty if there is none.

    >>> renamed("learning_rate", {"lr", "epochs"})
    'lr'
    """
    return next((ours for ours, names in _SYNONYMS.items() if name in names and ours in known), "")


def meant(name: str, known: Collection[str], *, place: str) -> str:
    """Return how an error for a wrong name goes on, with zoo's way or the nearest name; empty if neither.

    Args:
        known: the names that there are.
        place: where it was looked for: `zoo`, a class, a function, or a kind of entry.
    """
    ways = (way for places, names, way in _WAYS if place in places.split() and name in names.split())
    way = next(ways, "") or renamed(name, known)
    if way and not way.isidentifier():
        return f"; {way.replace('{}', name)}"
    return f"; did you mean {way!r}?" if way else did_you_mean(name, known)


def refuse_attribute(owner: object, name: str) -> NoReturn:
    """Raise AttributeError for an attribute that could not be read, for `__getattr__`.

    Python's own error, such as that of a property, unless the name is one that zoo has another way for.
    """
    kind = type(owner).__name__
    way = "" if name.startswith("_") else meant(name, (), place=kind)
    if not way:
        object.__getattribute__(owner, name)
    raise AttributeError(f"a zoo.{kind} has no attribute {name!r}{way}")
