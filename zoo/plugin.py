"""Helpers for authors of plugins: what they use besides `zoo`, `zoo.interfaces` and `zoo.testing`.

One flat module, so that no other module of zoo is a promise to them; commands use `zoo.cli.kit` as well. A
name is imported when it is first used, so that a processor, which runs where there is no torch, can use it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.config import options
    from zoo.config.declarations import option
    from zoo.config.training import Fraction, NonNegative, Positive
    from zoo.data.augment import Draws, augment, mixup
    from zoo.data.devices import fits_on, moved
    from zoo.data.parts import part_of
    from zoo.data.pictures import SUFFIXES, as_picture, picture_reader, pixels_of, read_picture
    from zoo.data.views import View
    from zoo.data.vocabulary import Vocabulary, WritesText
    from zoo.errors import (
        RunError,
        UnknownName,
        WeightsError,
        cause,
        did_you_mean,
        first_line,
        shortened,
        warn,
    )
    from zoo.files import style
    from zoo.files.archives import tar_members
    from zoo.files.cache import cache_home, data_home, made_once, mapped, private, private_folder
    from zoo.files.cards import Card
    from zoo.files.downloads import data_file, is_offline, offline, sha256_of, verified
    from zoo.files.exported import Exported, Port, Program, Signature, metadata_of, parse_metadata
    from zoo.files.folders import refuse_unreadable
    from zoo.files.hashes import Hashes, is_verifying, remembered
    from zoo.files.regular import open_regular, read_regular
    from zoo.files.work import report_work
    from zoo.inference.tracing import silently, traced
    from zoo.models.features import features_of, pooled
    from zoo.models.hooks import Stored, evaluating, receiving, stored, untouched, watching
    from zoo.models.recurrent import in_one_chunk
    from zoo.processors import (
        InputReader,
        Prediction,
        Predicts,
        Processor,
        ReadsInputs,
        Scores,
        TakesItems,
        make_processor,
    )

__all__ = [
    "SUFFIXES",
    "Card",
    "Draws",
    "Exported",
    "Fraction",
    "Hashes",
    "InputReader",
    "NonNegative",
    "Port",
    "Positive",
    "Prediction",
    "Predicts",
    "Processor",
    "Program",
    "ReadsInputs",
    "RunError",
    "Scores",
    "Signature",
    "Stored",
    "TakesItems",
    "UnknownName",
    "View",
    "Vocabulary",
    "WeightsError",
    "WritesText",
    "as_picture",
    "augment",
    "cache_home",
    "cause",
    "data_file",
    "data_home",
    "did_you_mean",
    "evaluating",
    "features_of",
    "first_line",
    "fits_on",
    "in_one_chunk",
    "is_offline",
    "is_verifying",
    "made_once",
    "make_processor",
    "mapped",
    "metadata_of",
    "mixup",
    "moved",
    "offline",
    "open_regular",
    "option",
    "options",
    "parse_metadata",
    "part_of",
    "picture_reader",
    "pixels_of",
    "pooled",
    "private",
    "private_folder",
    "read_picture",
    "read_regular",
    "receiving",
    "refuse_unreadable",
    "remembered",
    "report_work",
    "sha256_of",
    "shortened",
    "silently",
    "stored",
    "style",
    "tar_members",
    "traced",
    "untouched",
    "verified",
    "warn",
    "watching"
]  # fmt: skip

_ON_USE = {
    "zoo.config": "options",
    "zoo.config.declarations": "option",
    "zoo.config.training": "Fraction NonNegative Positive",
    "zoo.data.augment": "Draws augment mixup",
    "zoo.data.devices": "fits_on moved",
    "zoo.data.parts": "part_of",
    "zoo.data.pictures": "SUFFIXES as_picture picture_reader pixels_of read_picture",
    "zoo.data.views": "View",
    "zoo.data.vocabulary": "Vocabulary WritesText",
    "zoo.errors": "RunError UnknownName WeightsError cause did_you_mean first_line shortened warn",
    "zoo.files": "style",
    "zoo.files.archives": "tar_members",
    "zoo.files.cache": "cache_home data_home made_once mapped private private_folder",
    "zoo.files.cards": "Card",
    "zoo.files.downloads": "data_file is_offline offline sha256_of verified",
    "zoo.files.exported": "Exported Port Program Signature metadata_of parse_metadata",
    "zoo.files.folders": "refuse_unreadable",
    "zoo.files.hashes": "Hashes is_verifying remembered",
    "zoo.files.regular": "open_regular read_regular",
    "zoo.files.work": "report_work",
    "zoo.inference.tracing": "silently traced",
    "zoo.models.features": "features_of pooled",
    "zoo.models.hooks": "Stored evaluating receiving stored untouched watching",
    "zoo.models.recurrent": "in_one_chunk",
    "zoo.processors": "InputReader Prediction Predicts Processor ReadsInputs Scores TakesItems "
    "make_processor",
}


def __getattr__(name: str) -> object:
    for module, names in _ON_USE.items():
        if name in names.split():
            found = import_module(module)
            return getattr(found, name) if hasattr(found, name) else import_module(f"{module}.{name}")
    raise AttributeError(f"module 'zoo.plugin' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
