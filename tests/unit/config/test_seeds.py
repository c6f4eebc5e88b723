"""Seeds by position."""

from __future__ import annotations

from itertools import product

from zoo.seeds import seed_for


def test_a_seed_never_changes_between_versions() -> None:
    assert seed_for(0, "step", 1, 2) == 184749658296298036


def test_positions_do_not_share_seeds() -> None:
    positions = [
        (seed, use, a, b) for seed, use, a, b in product(range(8), ("order", "step"), range(16), range(16))
    ]
    seeds = {seed_for(*position) for position in positions}
    assert len(seeds) == len(positions)
    assert seed_for(1, 23) != seed_for(12, 3)
    assert seed_for(1) != seed_for("1")


def test_a_seed_is_valid_for_torch_and_its_bits_are_well_mixed() -> None:
    seeds = [seed_for(0, n) for n in range(2000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    for bit in range(63):
        ones = sum(seed >> bit & 1 for seed in seeds)
        assert 880 < ones < 1120, f"bit {bit}"  # within five standard deviations of half
