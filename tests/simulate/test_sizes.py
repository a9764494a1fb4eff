"""Laws of the floods' sizes: the attacker draws them, and the site bounds how many there are."""

from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.simulate import FLOOD_SHAPES, SimulationSpec
from pipelines.simulate.sizes import LARGEST, SMALLEST, draw_floods

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, events: int, share: float | None = None) -> list[tuple[str, int]]:
    spec = SimulationSpec(seed, events=events, flood_share=share)
    return draw_floods(np.random.default_rng(seed), spec)


@settings(max_examples=30)
@given(seed=SEEDS)
def test_a_small_site_gets_floods_of_the_large_one_unchanged(seed: int) -> None:
    large = drawn(seed, 3_000_000)
    assert set(drawn(seed, 200_000)) <= set(large)
    assert {shape for shape, _ in large} == set(FLOOD_SHAPES)
    assert all(SMALLEST <= size <= LARGEST for _, size in large)


@settings(max_examples=60)
@given(seed=SEEDS, events=st.sampled_from([3_000, 30_000, 100_000, 300_000, 1_000_000]))
def test_floods_are_two_or_more_and_a_small_part_of_the_site(seed: int, events: int) -> None:
    floods = drawn(seed, events)
    assert len(floods) >= 2
    assert sum(size for _, size in floods) <= 0.28 * events


@pytest.mark.parametrize("events", [300_000, 1_000_000])
def test_from_a_middle_sized_site_on_every_shape_occurs(events: int) -> None:
    for seed in range(20):
        assert {shape for shape, _ in drawn(seed, events)} == set(FLOOD_SHAPES)


def test_a_flood_has_about_2500_messages() -> None:
    sizes = [size for seed in range(100) for _, size in drawn(seed, 3_000_000)]
    assert 2_300 <= median(sizes) <= 2_700


def test_a_flood_share_bounds_the_floods() -> None:
    floods = drawn(1, 300_000, share=0.01)
    assert sum(size for _, size in floods) <= 3_000
    assert drawn(1, 300_000, share=0.0) == []
