"""What `--device` names."""

from __future__ import annotations

from zoo.errors import OptionError

__all__ = ["pick_device"]


def pick_device(name: str | None) -> str:
    """Return a device by name, by default the GPU if any. Raises OptionError naming what there is."""
    import torch

    from zoo.training import precision

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    here = ["cpu", accelerator.type] if accelerator else ["cpu"]
    if name and name.partition(":")[0] not in here:
        raise OptionError(f"there is no device {name!r}; this machine has {' and '.join(here)}")
    return precision.pick_device(name)
