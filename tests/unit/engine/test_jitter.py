"""Jittered crops, against those that dlib itself draws."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from meanface.engine.jitter import crop, jittered

CHIP = np.ascontiguousarray(skimage.data.astronaut()[50:200, 150:300])

# In a fresh process, because dlib draws from one generator that nobody can seed.
BY_DLIB = """
import sys, dlib, numpy
chip = numpy.load(sys.argv[1], allow_pickle=False)
numpy.save(sys.argv[2], numpy.array(dlib.jitter_image(chip, 30)))
"""


class Rand:
    """dlib's random numbers (rand/rand_kernel_1.h): a Mersenne Twister after 10,000 numbers."""

    def __init__(self) -> None:
        key = [5489]
        for number in range(1, 624):
            key.append((1812433253 * (key[-1] ^ key[-1] >> 30) + number) % 2**32)
        self._twister = np.random.MT19937()
        self._twister.state = {
            "bit_generator": "MT19937",
            "state": {"key": np.array(key, np.uint32), "pos": 624},
        }
        self._twister.random_raw(10_000)

    def __call__(self) -> float:
        high, low = (int(number) % 2**24 for number in self._twister.random_raw(2))
        return (high * 2**24 + low) / (2**48 - 1)


def test_crops_are_those_of_dlib_for_the_same_random_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "chip.npy", CHIP)
    made = tmp_path / "crops.npy"
    subprocess.run([sys.executable, "-c", BY_DLIB, tmp_path / "chip.npy", made], check=True)
    random, mirrored = Rand(), 0
    for theirs in np.load(made, allow_pickle=False):
        one, other, size, turn, mirror = (random() for _ in range(5))
        mirrored += mirror > 0.5
        # A compiler may draw either shift first.
        ours = [crop(CHIP, *shift, size, turn, mirror) for shift in ((one, other), (other, one))]
        assert theirs.tobytes() in [pixels.tobytes() for pixels in ours]
    assert 5 < mirrored < 25


def test_a_seed_alone_decides_the_crops_and_the_chip_itself_is_the_first() -> None:
    crops = list(jittered(CHIP, "a 0", 9))
    assert all((one.dtype, one.shape) == (np.uint8, (150, 150, 3)) for one in crops)
    assert np.array_equal(crops[0], CHIP)
    assert len({one.tobytes() for one in crops}) == 9
    again = list(jittered(CHIP.copy(), "a 0", 5))
    assert all(map(np.array_equal, crops, again))
    other = list(jittered(CHIP, "a 1", 9))
    assert not any(map(np.array_equal, crops[1:], other[1:]))


def test_jitters_spread_over_their_whole_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers that make crops: their range, and no seed that all crops share."""
    drawn: list[tuple[float, ...]] = []

    def noted(chip: NDArray[np.uint8], *numbers: float) -> NDArray[np.uint8]:
        drawn.append(numbers)
        return chip

    monkeypatch.setattr("meanface.engine.jitter.crop", noted)
    for seed in range(500):
        list(jittered(CHIP, str(seed), 5))
    numbers = np.array(drawn)
    assert numbers.shape == (2000, 5)
    assert numbers.min() >= 0 and numbers.max() < 1
    # Uniform numbers: the mean of 2,000 is within five standard errors, and so is every decile.
    np.testing.assert_allclose(numbers.mean(axis=0), 0.5, atol=5 / np.sqrt(12 * 2000))
    for column in numbers.T:
        counts = np.histogram(column, 10, (0, 1))[0]
        assert abs(counts - 200).max() < 5 * np.sqrt(180)
    correlation = np.corrcoef(numbers.T) - np.eye(5)
    assert abs(correlation).max() < 5 / np.sqrt(2000)
