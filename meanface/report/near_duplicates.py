"""Tell near-duplicates, such as resized, cropped, re-encoded or mirrored copies, by their pixels.

Two photos of one face are compared as chips, which landmarks have aligned. A copy shows the same
face to the last crease, so its chip correlates with the chip of the original nearly perfectly.
The chips are blurred to the detail that a strong compression keeps. An affine registration removes
what the landmarks are off (Lucas and Kanade 1981; the inverse form of Baker and Matthews 2004,
"Lucas-Kanade 20 years on"), and the brightness is normalised.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.chips import open_cut
from meanface.engine.decode import decode
from meanface.engine.settings import EngineSettings
from meanface.report.pixels import faces_of, read_photos

SIDE = 50
"""Pixels of a chip's side in a comparison."""

SAME = 0.86
"""The least likeness of near-duplicates."""

_MARGIN = 5  # pixels at each side that may lie outside of the other chip
_ROUNDS = 12  # of the registration

Grey = NDArray[np.uint8]


def likenesses(
    faces: pd.DataFrame,
    pairs: Sequence[tuple[int, int]],
    tars: Mapping[str, Path],
    settings: EngineSettings,
    models: Mapping[str, Path],
) -> list[float]:
    """Give the likeness of each pair of row numbers of the table `faces`.

    Each photo is read once. A face takes 2.5 kB of memory until the end.
    """
    cut = open_cut(settings, models)
    rows = sorted({row for pair in pairs for row in pair})
    wanted = faces.iloc[rows].assign(row=rows)
    chips: dict[int, Grey] = {}
    of_photo = dict(list(wanted.groupby("path")))
    for path, data in read_photos(wanted, tars):
        photo, own = decode(data, settings.decode, settings.max_pixels), of_photo[path]
        seen = [
            (photo, face, detector)
            for face, detector in zip(faces_of(own), own["detector"], strict=True)
        ]
        for row, chip in zip(own["row"].tolist(), cut(seen), strict=True):
            if chip:
                chips[row] = small(chip.pixels)
    return [
        likeness(chips[one], chips[other]) if one in chips and other in chips else 0.0
        for one, other in pairs
    ]


def small(chip: NDArray[np.uint8]) -> Grey:
    """Give a chip, uint8 RGB (150, 150, 3), as brightness, uint8 (SIDE, SIDE)."""
    grey = Image.fromarray(chip).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(grey)


def likeness(one: Grey, other: Grey) -> float:
    """Give the correlation of two small chips after registration, or after mirroring the second.

    1 for the same pixels, up to the brightness and contrast of the whole chip.
    """
    return max(_registered(one, other), _registered(one, other[:, ::-1]))


def _registered(one: Grey, other: Grey) -> float:
    inner = slice(_MARGIN, SIDE - _MARGIN)
    target = _normal(_detail(one)[inner, inner])
    source = _detail(other)
    dy, dx = np.gradient(target)
    y, x = np.mgrid[inner, inner].astype(np.float64) - (SIDE - 1) / 2
    # How the target changes with an affine map: x and y each times x, y, 1.
    steep = np.stack([dx * x, dx * y, dx, dy * x, dy * y, dy], axis=-1).reshape(-1, 6)
    solve = np.linalg.pinv(steep)
    warp, best = np.eye(3), -1.0
    for _ in range(_ROUNDS):
        seen = _normal(_sampled(source, warp, x, y))
        best = max(best, float((seen * target).mean()))
        step = solve @ (seen - target).ravel()
        change = np.eye(3)
        change[:2] += step.reshape(2, 3)
        if not np.isfinite(step).all() or abs(np.linalg.det(change)) < 0.5:
            break
        warp = warp @ np.linalg.inv(change)
    return best


def _detail(grey: Grey) -> NDArray[np.float64]:
    """Leave out what all faces share: the light from one side, the shade of the hair."""
    light = Image.fromarray(grey.astype(np.float32))
    wide = light.resize((SIDE // 5, SIDE // 5), Image.Resampling.BOX)
    smooth = wide.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(grey, np.float64) - np.asarray(smooth, np.float64)


def _normal(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = pixels - pixels.mean()
    return np.asarray(centred / max(float(np.sqrt((centred**2).mean())), 1e-9))


def _sampled(
    source: NDArray[np.float64],
    warp: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give source at warp @ (x, y, 1), between pixels by straight lines, 0 beyond the edge."""
    centre = (SIDE - 1) / 2
    column = np.clip(warp[0, 0] * x + warp[0, 1] * y + warp[0, 2] + centre, 0, SIDE - 1.001)
    row = np.clip(warp[1, 0] * x + warp[1, 1] * y + warp[1, 2] + centre, 0, SIDE - 1.001)
    left, top = column.astype(int), row.astype(int)
    right, below = column - left, row - top
    upper = source[top, left] * (1 - right) + source[top, left + 1] * right
    lower = source[top + 1, left] * (1 - right) + source[top + 1, left + 1] * right
    return np.asarray(upper * (1 - below) + lower * below)
