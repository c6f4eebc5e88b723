"""Made-up distributions, as if pip had installed them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

HOOK = "from zoo import ArchitectureSpec, DatasetSpec, hookimpl\n"
SPEC = 'ArchitectureSpec(name="net", target="m:M", task="classification", summary="s")'


def distribution(folder: Path, name: str, source: str, *, points: dict[str, str] | None = None) -> Path:
    """Write an installed distribution of one module, and return the folder to put on the search path.

    The module is the distribution's name with underscores; without `points` it is the plugin `name`.
    """
    module = name.replace("-", "_")
    place = folder / name
    info = place / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{point} = {value}" for point, value in (points or {name: module}).items()]
    (info / "entry_points.txt").write_text("\n".join(["[zoo]", *lines, ""]))
    (place / f"{module}.py").write_text(dedent(source))
    return place


def model(name: str) -> str:
    """Return the source of a healthy plugin with one architecture."""
    return f"""
        from zoo import ArchitectureSpec, hookimpl

        @hookimpl
        def zoo_architectures():
            return [ArchitectureSpec(name={name!r}, target="m:M", task="classification", summary="s")]
        """
