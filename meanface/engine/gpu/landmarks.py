"""dlib's 5 and 68 landmarks of faces on a GPU; `meanface.engine.landmarks` explains the steps."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
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
        self._initial = centred / (centred**2).sum()
        self._cascades = [
            (
                torch.from_numpy(cascade["anchors"].copy()).to(device),
                torch.from_numpy(cascade["deltas"].copy()).to(device),
                torch.from_numpy(cascade["splits"].reshape(3, -1).copy()).to(device),
                torch.from_numpy(cascade["leaves"].copy()).to(device),
            )
            for cascade in read["cascades"]
        ]
        self._bits = (1 << torch.arange(SPLITS, device=device))[:, None]
        self._leaf = torch.from_numpy(leaf_of_splits().astype(np.int64)).to(device)
        self._trees = torch.arange(0, TREES * LEAVES, LEAVES, device=device)
        self._thresholds = torch.from_numpy(THRESHOLDS.astype(np.int16)).to(device)

    def __call__(self, pixels: Pixels, photos: Tensor, boxes: Tensor) -> Tensor:
        """Give the landmarks in `boxes`, int64 (m, 4), of `photos`, int64 (m,), of `pixels`.

        They are x and y in pixels, int64 (m, points, 2).
        """
        corners = boxes.double()
        corner, size = corners[:, None, :2], (corners[:, 2:] - corners[:, :2])[:, None]
        points = self._points.expand(len(boxes), -1)
        thresholds = self._thresholds.expand(len(boxes), -1)
        for anchors, (dx, dy), splits, leaves in self._cascades:
            present = points.reshape(len(points), -1, 2).double()
            # The least-squares similarity from the initial landmarks: a complex number.
            real = (present * self._initial).sum(dim=(1, 2)).float()[:, None]
            x, y = present.unbind(dim=2)
            x0, y0 = self._initial.unbind(dim=1)
            imaginary = (y * x0 - x * y0).sum(dim=1).float()[:, None]
            anchor = points.reshape(len(points), -1, 2)[:, anchors]
            x = (real * dx - imaginary * dy + anchor[..., 0]) * size[..., 0] + corner[..., 0]
            y = (imaginary * dx + real * dy + anchor[..., 1]) * size[..., 1] + corner[..., 1]
            values = torch.cat([pixels.brightness(photos, _rounded(x), _rounded(y)), thresholds], 1)
            first, second, threshold = (values[:, split] for split in splits)
            lefts = (first - second > threshold).reshape(len(boxes), SPLITS, TREES)
            leaf = self._trees + self._leaf[(lefts * self._bits).sum(dim=1)]
            # The points come first: the sum is in dlib's order, and rounded as in dlib.
            first_row = torch.arange(len(leaves), len(leaves) + len(points), device=leaf.device)
            rows = torch.cat([first_row[:, None], leaf], dim=1)
            points = F.embedding_bag(rows, torch.cat([leaves, points]), mode="sum")
        return _rounded(points.reshape(len(points), -1, 2) * size + corner)


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
