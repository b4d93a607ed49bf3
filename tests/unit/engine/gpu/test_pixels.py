"""Squares that are cut out on a GPU against dlib's `extract_image_chip`."""

import dlib
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from meanface.engine.gpu.pixels import Pixels, Places, cut_out  # noqa: E402
from tests.unit.engine.gpu import photos as made  # noqa: E402


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("size", [30, 112])
def test_squares_are_dlibs(size: int, exact: bool) -> None:
    """At every depth of the pyramid, turned, and beyond the photo."""
    photos = [made.pixels_of(name) for name in made.NAMES[:2]]
    photos = [made.resized(photos[0], 700, 640), made.resized(photos[1], 411, 399)]
    places = [
        (0, (100.0, 120.0, 100.0 + size, 120.0 + size), 0.0),
        (1, (150.5, 90.25, 190.75, 130.5), 0.4),
        (0, (20.0, 30.0, 20.0 + 3.3 * size, 30.0 + 3.3 * size), -2.0),
        (0, (50.0, 60.0, 600.0, 610.0), 0.7),
        (1, (-80.5, -60.0, 260.0, 280.5), 3.1),
        (1, (300.0, 300.0, 500.0, 500.0), -1.0),
        (1, (-400.0, -400.0, 900.0, 900.0), 0.0),
    ]
    cuts = cut_out(
        Pixels.of(made.tensors(photos)),
        Places(
            torch.tensor([number for number, _, _ in places]),
            torch.tensor([box for _, box, _ in places], dtype=torch.float64),
            torch.tensor([angle for _, _, angle in places], dtype=torch.float64),
        ),
        size,
        exact=exact,
    )
    assert cuts.shape == (len(places), size, size, 3)
    for (number, box, angle), cut in zip(places, cuts.numpy().astype(int), strict=True):
        details = dlib.chip_details(dlib.drectangle(*box), dlib.chip_dims(size, size), angle)
        expected = dlib.extract_image_chip(photos[number], details).astype(int)
        assert expected.any()
        # Where a square needs no interpolation, places are whole but for their last bits.
        if exact and angle:
            assert (cut == expected).all(), (number, box, angle)
        assert np.mean(np.abs(cut - expected) <= 1) > 0.998, (number, box, angle)
