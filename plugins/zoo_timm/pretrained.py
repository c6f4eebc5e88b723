"""Pretrained weights of timm: their tags, and their files in the cache of huggingface_hub or on the Hub.

Only safetensors files are read: the other formats that timm supports are pickles.
"""

from __future__ import annotations

import logging
import re
import shlex
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import requests
import timm
from huggingface_hub import constants
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from safetensors import safe_open
from timm.models import get_arch_pretrained_cfgs

from zoo import DataError, Pretrained
from zoo.plugin import first_line, hashes_of, is_offline, warn

# The names of safetensors files, by the file name in timm's configuration
_SAFE = {
    "pytorch_model.bin": ("model.safetensors", "pytorch_model.safetensors"),
    "open_clip_pytorch_model.bin": ("open_clip_model.safetensors",),
}
# The suffixes of pickles that `zoo import` converts
_PICKLES = (".pth", ".pt", ".bin")
# Seconds to wait for the Hub to respond
_TIMEOUT = 10


def weights_of(*, name: str) -> dict[str, Pretrained]:
    """Return a model's pretrained weights by tag, and timm's default tag as `true`."""
    found, tag = _configs(name), _default_tag(name)
    ordered = ({"true": found[tag]} if tag in found else {}) | found
    return {key: _described(config) for key, config in ordered.items()}


def _default_tag(name: str) -> str:
    config = timm.get_pretrained_cfg(name)
    return (config.tag or "default") if config is not None else ""


def usual_size(name: str) -> int:
    """Return the height of the images that a model's default weights were trained on."""
    config = timm.get_pretrained_cfg(name)
    return config.input_size[1] if config is not None else 224


def load_pretrained(
    model: Any, name: str, pretrained: bool | str, options: dict[str, Any]
) -> dict[str, str] | None:
    """Load pretrained weights, except those of the last layer. See `zoo.interfaces.LoadsPretrained`.

    Args:
        pretrained: a tag, `true` for the default, or the path of a safetensors file.
        options: the options of timm that the model was built with.

    Raises DataError if the weights are not in the cache and cannot be downloaded, are not a safetensors file,
    or are damaged.
    """
    known = _configs(name)
    if pretrained is False and known:
        warn(f"timm/{name} starts from random weights; add --model pretrained=true for pretrained ones")
    if pretrained in (False, "none"):
        return None
    tag = _default_tag(name) if pretrained in (True, "true") else str(pretrained)
    given = tag not in known
    config = timm.get_pretrained_cfg(name) if given else known[tag]
    heads = (config and config.classifier) or ()
    heads = [heads] if isinstance(heads, str) else heads
    file = _given(Path(tag).expanduser(), name) if given else _file(f"{name}.{tag}", config)
    try:
        # as many classes as the weights have, so that all tensors must match
        classes = _classes(file, heads) if given else {}
        with silent():
            loaded: Any = timm.create_model(
                name,
                pretrained=True,
                pretrained_cfg=config,
                pretrained_cfg_overlay={"file": str(file), "custom_load": False, **classes},
                **options,
                **classes,
            )
    except Exception as error:  # of safetensors, or of tensors that do not match
        if given:
            message = f"pretrained: {file} is damaged, or its tensors are not those of timm/{name}"
            raise DataError(message) from error
        hint = f"delete {file} so that it is downloaded again"
        raise DataError(f"{file} cannot be read as {name}.{tag}: {first_line(error)}", hint=hint) from error
    own = tuple(f"{head}." for head in heads)
    state = {key: value for key, value in loaded.state_dict().items() if not key.startswith(own)}
    model.load_state_dict(state, strict=False)
    tag = file.name if given else tag  # without the folders of this machine
    return {"architecture": f"timm/{name}", "dataset": tag, "sha256": hashes_of([file])[0]}


def _given(file: Path, name: str) -> Path:
    """Return a file of the user's. Raises DataError if it is missing or is not a safetensors file."""
    if not file.is_file():
        raise DataError(f"pretrained: there is no file {file}")
    if file.suffix != ".safetensors":
        convert = f"zoo import {shlex.quote(str(file))} --architecture timm/{name} --preprocess classes=1000"
        hint = f"`{convert}` converts it" if file.suffix in _PICKLES else None
        raise DataError(f"pretrained: {file} is not a .safetensors file", hint=hint)
    return file


def _classes(file: Path, heads: Sequence[str]) -> dict[str, Any]:
    """Return timm's option for the number of classes of a file; empty if it has no last layer."""
    with safe_open(file, "pt") as content:
        last = {f"{head}.weight" for head in heads} & {*content.keys()}
        return {"num_classes": content.get_slice(min(last)).get_shape()[0]} if last else {}


@contextmanager
def silent() -> Generator[None]:
    """Hide the logs, warnings and progress bars of timm and huggingface_hub."""
    loggers = [logging.getLogger(name) for name in ("timm", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    shown = not are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if shown:
            enable_progress_bars()


def _configs(name: str) -> dict[str, Any]:
    """Return timm's configurations of a model's weights by tag."""
    configs: dict[str, Any] = get_arch_pretrained_cfgs(name)
    return {config.tag or "default": config for config in configs.values() if config.has_weights}


def _described(config: Any) -> Pretrained:
    place = f"huggingface.co/{config.hf_hub_id}" if config.hf_hub_id else config.url
    _, height, width = config.input_size
    return Pretrained(
        mean=tuple(config.mean),
        std=tuple(config.std),
        size=height if height == width else 0,
        source=f"{place}, {config.license}" if config.license else f"{place}",
    )


def _file(what: str, config: Any) -> Path:
    """Return the safetensors file of the weights, downloading it if huggingface_hub's cache lacks it."""
    names = _SAFE.get(config.hf_hub_filename or "pytorch_model.bin", (config.hf_hub_filename,))
    names = [name for name in names if name.endswith(".safetensors")]
    if not config.hf_hub_id or config.custom_load or not names:
        raise _only_a_pickle(what)
    repository, _, revision = config.hf_hub_id.partition("@")
    for name in names:
        cached = huggingface_hub.try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(cached, str):
            return _verified(Path(cached))
    return _verified(_downloaded(what, repository, revision or None, names))


def _downloaded(what: str, repository: str, revision: str | None, names: list[str]) -> Path:
    """Return a file that is downloaded into huggingface_hub's cache. Raises DataError."""
    cache = constants.HF_HUB_CACHE
    hint = (
        f"run `hf download {repository} {names[0]}` on a machine with internet access, "
        f"and copy its Hugging Face cache to {cache}"
    )
    if is_offline() or constants.HF_HUB_OFFLINE:
        raise DataError(f"{what} is not in {cache}, and downloads are disabled", hint=hint)
    for name in names:
        url = huggingface_hub.hf_hub_url(repository, name, revision=revision)
        try:
            status = requests.head(
                url, timeout=_TIMEOUT
            ).status_code  # the hub's own client tries for a minute
            if status == requests.codes.not_found:
                continue
            warn(f"downloading {what} from {url}")
            with silent():
                return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision))
        except Exception as error:  # of the network, the disk or the hub
            reached = not isinstance(error, requests.ConnectionError | requests.Timeout)
            reason = first_line(error) if reached else f"{url.split('/')[2]} cannot be reached"
            message = f"{what} is not in {cache} and cannot be downloaded: {reason}"
            raise DataError(message, hint=hint) from error
    raise _only_a_pickle(what)


def _only_a_pickle(what: str) -> DataError:
    hint = "choose a different tag (`zoo show` lists them); zoo does not load pickled weights"
    return DataError(f"{what} is not published as a safetensors file", hint=hint)


def _verified(file: Path) -> Path:
    """Return a file if its content has the sha256 that is its name in the cache. Raises DataError."""
    stored = file.resolve()
    if re.fullmatch("[0-9a-f]{64}", stored.name) and hashes_of([stored]) != [stored.name]:
        raise DataError(f"{file} is damaged: its sha256 is not {stored.name}", hint=f"delete {stored}")
    return file
