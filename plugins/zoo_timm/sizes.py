"""The smallest images that timm's models can read, if those of 32×32 pixels are too small."""

from __future__ import annotations

import re

# By a pattern of the whole name. Some of these models read only images of exactly this size.
_SMALLEST = {
    r"csatv2.*|ghostnetv[23]_.*": 64,
    r"inception_(resnet_v2|v[34])": 75,
    r"deepseek_vit_.*|efficientformer_.*|haloregnetz_b|vit_intern300m_.*": 224,
    r"crossvit_.*_240": 240,
    r".*halo[2bn].*|bat_resnext26ts": 256,
    r"crossvit_.*_408": 408,
}
_ANY = re.compile("|".join(_SMALLEST))


def smallest_image(name: str) -> int:
    """Return the smallest height and width of a model's images; 0 if 32 pixels are enough."""
    if not _ANY.fullmatch(name):
        return 0
    return next(size for pattern, size in _SMALLEST.items() if re.fullmatch(pattern, name))
