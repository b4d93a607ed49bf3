"""dlib's 5 and 68 landmarks of faces on a GPU; `meanface.engine.landmarks` explains the steps."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from meanface.engine.gpu.pixels import Pixels, Places
from meanface.engine.landmarks import LEAVES, SPLITS, THRESHOLDS, TREES, leaf_of_splits

# Where landmarks are in an upright face, as parts of its box: dlib 20, get_face_chip_details. Of
# 68, neither brows nor lower lip count.
_FIVE = (
    (0.8595674595992, 0.2134981538014),
    (0.6460604764104, 0.2289674387677),
    (0.1205750620789, 0.2137274526848),
    (0.3340850613712, 0.2290642403242),
    (0.4901123135679, 0.6277975316475),
)


class Landmarks:
    """Finds the landmarks of faces."""

    def __init__(self, model: Path, device: torch.device) -> None:
        """Read the file that `export` wrote."""
        read = np.load(model, allow_pickle=False)
        self._points = torch.from_numpy(read["points"].copy()).to(device)
        centred = self._points.reshape(-1, 2).double()
        centred = centred - centred.mean(dim=0)
        x0, y0 = (centred / (centred**2).sum()).unbind(dim=1)
        # Points, x and y in turn, times these are the real and the imaginary part of a similarity.
        self._fit = torch.stack([torch.stack([x0, y0], 1), torch.stack([-y0, x0], 1)]).flatten(1)
        self._cascades = [_Cascade.of(cascade, device) for cascade in read["cascades"]]
        self._bits = (1 << torch.arange(SPLITS, device=device, dtype=torch.int16))[:, None]
        self._leaf = torch.from_numpy(leaf_of_splits().astype(np.int64)).to(device)
        self._trees = torch.arange(0, TREES * LEAVES, LEAVES, device=device)

    def __call__(self, pixels: Pixels, photos: Tensor, boxes: Tensor) -> Tensor:
        """Give the landmarks in `boxes`, int64 (m, 4), of `photos`, int64 (m,), of `pixels`.

        They are x and y in pixels, int64 (m, points, 2).
        """
        corners = boxes.double()
        corner, size = corners[:, None, :2], (corners[:, 2:] - corners[:, :2])[:, None]
        points = self._points.expand(len(boxes), -1)
        numbers = torch.arange(len(boxes), device=boxes.device)[:, None] + TREES * LEAVES
        for cascade in self._cascades:
            # The least-squares similarity from the initial landmarks: a complex number.
            real, imaginary = (points[:, None] * self._fit).sum(dim=2).float().T[..., None, None]
            anchor = points.reshape(len(points), -1, 2)[:, cascade.anchors]
            moved = real * cascade.deltas + imaginary * cascade.turned + anchor
            values = pixels.brightness(photos, _rounded(moved * size + corner))
            first, second = (values[:, split] for split in cascade.splits)
            lefts = (first - second > cascade.thresholds).reshape(len(boxes), SPLITS, TREES)
            splits = (lefts * self._bits).sum(dim=1)
            leaf = self._leaf[splits] + self._trees
            # The points come first: the sum is in dlib's order, and rounded as in dlib.
            rows = torch.cat([numbers, leaf], dim=1)
            points = F.embedding_bag(rows, torch.cat([cascade.leaves, points]), mode="sum")
        return _rounded(points.reshape(len(points), -1, 2) * size + corner)


@dataclass(frozen=True)
class _Cascade:
    """One step of the regression; `meanface.engine.landmarks` explains the numbers.

    `deltas`: float32 (anchors, 2), from a landmark to where its brightness is read. `turned`: the
    same, turned by a quarter, which is what the imaginary part of the similarity adds. `splits`:
    int64 (2, splits), the two places that a split compares. `thresholds`: int16 (splits,).
    """

    anchors: Tensor
    deltas: Tensor
    turned: Tensor
    splits: Tensor
    thresholds: Tensor
    leaves: Tensor

    @classmethod
    def of(cls, read: NDArray[np.void], device: torch.device) -> "_Cascade":
        """Take a cascade of the file."""
        dx, dy = read["deltas"]
        *features, thresholds = read["splits"].reshape(3, -1)
        arrays = (
            read["anchors"],
            np.stack([dx, dy], axis=1),
            np.stack([-dy, dx], axis=1),
            np.stack(features),
            THRESHOLDS[thresholds - len(dx)].astype(np.int16),
            read["leaves"],
        )
        return cls(*(torch.from_numpy(one.copy()).to(device) for one in arrays))


def _rounded(places: Tensor) -> Tensor:
    return (places + 0.5).floor().long()


@dataclass(frozen=True)
class Aligned:
    """Where faces are upright, and their angles, float64 (m,), degrees counterclockwise."""

    places: Places
    angles: Tensor


def aligned(photos: Tensor, landmarks: Tensor, size: int, padding: float) -> Aligned:
    """Give the squares of face chips, as dlib's get_face_chip_details, from 5 landmarks (m, 5, 2).

    `photos`: int64 (m,), where the faces are. The least-squares similarity is from S. Umeyama,
    "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991.
    """
    found = landmarks.double()
    reference = (found.new_tensor(_FIVE) + padding) / (2 * padding + 1) * size
    middle, centre = reference.mean(dim=0), found.mean(dim=1)
    there, here = reference - middle, found - centre[:, None]
    norm = (there**2).sum()
    real = (here * there).sum(dim=(1, 2)) / norm
    imaginary = (here[..., 1] * there[:, 0] - here[..., 0] * there[:, 1]).sum(dim=1) / norm
    scale, angle = torch.hypot(real, imaginary), torch.atan2(imaginary, real)
    x, y = size / 2 - middle
    at = torch.stack([real * x - imaginary * y, imaginary * x + real * y], dim=1) + centre
    half = ((scale * size - 1) / 2)[:, None]  # dlib counts the last pixel in
    return Aligned(
        Places(photos, torch.cat([at - half, at + half], dim=1), angle), -torch.rad2deg(angle)
    )
