"""dlib's CNN face detector (max-margin object detection) on ONNX Runtime.

The network scores windows of one size, 80x80 pixels. To find faces of every size, a photo and
ever smaller copies of the photo are put into one picture, the tiled pyramid. Steps and constants,
and so the faces found, are those of dlib 20's `cnn_face_detection_model_v1` (dnn/input.h,
dnn/loss.h and image_transforms/image_pyramid.h).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import dlib
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from meanface.engine.face import Face
from meanface.engine.search import Pixels, Search
from meanface.engine.session import open_session, run_session
from meanface.engine.settings import EngineSettings
from meanface.engine.tiles import tiled

# Boxes are rows of left, top, right, bottom. Right and bottom are included.
Boxes = NDArray[np.int64]

# Each level of the pyramid has 5/6 of the size of the level before, down to 5 rows. In the picture,
# there are 10 pixels between levels, and 11 around all levels.
_SMALLER, _LARGER = 5 / 6, 6 / 5
_LEAST_HEIGHT = 5
_GAP = 10
_MARGIN = 11
_CONTEXT = 128  # rows, a multiple of the stride. A score depends on 189 rows around its place


class CnnDetector:
    """dlib's CNN face detector, more than ten times as fast on a CPU."""

    def __init__(self, session: onnxruntime.InferenceSession, strip: int) -> None:
        """Detect with `session`, opened on the detector that `meanface.engine.export` writes.

        `strip` is the number of pixels of the pyramid that the network gets at a time.
        """
        self._session = session
        self._strip = strip
        settings = json.loads(session.get_modelmeta().custom_metadata_map["detector"])
        self._mean = np.array(settings["mean"], np.float32)
        self._window: list[int] = settings["window"]
        self._stride: int = settings["stride"]
        self._offset: int = settings["offset"]
        self._smallest: int = settings["smallest"]
        self._overlap: float = settings["overlap"]
        self._covered: float = settings["covered"]

    def __call__(self, pixels: NDArray[np.uint8], upsample: int) -> list[Face]:
        """Find the faces in one image, uint8 RGB (height, width, 3); see `batch`."""
        return self.batch(pixels[None], upsample)[0]

    def batch(self, images: NDArray[np.uint8], upsample: int) -> list[list[Face]]:
        """Find the faces in images of one size, uint8 RGB (n, height, width, 3), n > 0.

        Each image is doubled in size `upsample` times, to find smaller faces. Boxes are in
        coordinates of the image as given. The face with the highest score comes first.
        """
        enlarged = np.stack([_enlarged(image, upsample) for image in images])
        tiles, height, width = layout(*enlarged.shape[1:3])
        if min(height, width) < self._smallest:
            return [[] for _ in images]
        score_rows = self._scorer(enlarged, tiles, height, width)
        scores = self._scores(score_rows, len(images), height, width)
        return [list(self._faces(score, tiles, upsample)) for score in scores]

    def scores_of(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give the best score in each of images of one size, float32 (n,); above zero is a face.

        Images are those of `batch`, of 80x80 pixels or more. There is no pyramid: only faces of
        about 80x80 pixels are seen.
        """
        height, width = images.shape[1:3]
        whole = np.array([[0, 0, width - 1, height - 1]])
        score_rows = self._scorer(images, whole, height, width)
        scores = self._scores(score_rows, len(images), height, width)
        return np.asarray(scores.max(axis=(1, 2)))

    def _scorer(
        self, images: NDArray[np.uint8], tiles: Boxes, height: int, width: int
    ) -> Callable[[int, int], NDArray[np.float32]]:
        """Give a function that scores rows of the images' pyramids, `height` x `width` pixels."""
        pyramids = np.zeros((len(images), 3, height, width), np.float32)
        for pyramid, image in zip(pyramids, images, strict=True):
            for plane, channel, mean in zip(
                pyramid, np.moveaxis(image, 2, 0), self._mean, strict=True
            ):
                _tile(plane, (channel - mean) / np.float32(256), tiles)
        return lambda top, bottom: run_session(
            self._session, {"pyramids": pyramids[:, :, top:bottom]}
        )

    def _scores(
        self,
        score_rows: Callable[[int, int], NDArray[np.float32]],
        count: int,
        rows: int,
        columns: int,
    ) -> NDArray[np.float32]:
        """Score the pyramids strip by strip, so that large photos need little memory.

        A score depends on at most _CONTEXT rows above and below. Strips begin at multiples of the
        network's stride. So each score is computed from the same pixels as in a single strip.
        """
        strip = max(1, self._strip // (count * columns * self._stride)) * self._stride
        parts = []
        for start in range(0, rows, strip):
            top, bottom = max(0, start - _CONTEXT), min(rows, start + strip + _CONTEXT)
            scores = score_rows(top, bottom)
            first = (start - top) // self._stride
            last = first + strip // self._stride if start + strip < rows else None
            parts.append(scores[:, first:last])
        return np.concatenate(parts, axis=1)

    def _faces(self, scores: NDArray[np.float32], tiles: Boxes, upsample: int) -> Iterator[Face]:
        """Yield the boxes that score above zero and do not overlap a box with a higher score."""
        rows, columns = np.nonzero(scores > 0)
        certain = scores[rows, columns]
        order = np.argsort(-certain, kind="stable")
        certain = certain[order]
        positions = np.stack([columns, rows], axis=1)[order]
        boxes = self._boxes(positions * self._stride + self._offset, tiles)
        while len(boxes):
            left, top, right, bottom = _smaller(boxes[0], upsample).tolist()
            yield Face(left, top, right, bottom, float(certain[0]))
            apart = ~self._overlap_of(boxes[0], boxes)
            boxes, certain = boxes[apart], certain[apart]

    def _boxes(self, centres: NDArray[np.int64], tiles: Boxes) -> Boxes:
        """Give the windows around `centres` (n, 2), points of the pyramid, as boxes of level 0.

        A point belongs to the nearest level.
        """
        nearest = np.clip(centres[:, None], tiles[:, :2], tiles[:, 2:])
        levels = np.argmin(((centres[:, None] - nearest) ** 2).sum(axis=2), axis=1)
        half = (np.array(self._window) - 1) / 2
        middle = centres - tiles[levels, :2]
        corners = np.concatenate([middle - half, middle + half], axis=1)
        for level in range(len(tiles)):
            deeper = levels > level
            corners[deeper] = corners[deeper] * _LARGER + 0.3
        return _rounded(corners)

    def _overlap_of(self, box: NDArray[np.int64], boxes: Boxes) -> NDArray[np.bool_]:
        """Tell which of `boxes` (n, 4) show the same face as `box` (4,)."""
        inner = _area(np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:]))
        # dlib takes the smallest box around both boxes, not their union.
        outer = _area(np.minimum(box[:2], boxes[:, :2]), np.maximum(box[2:], boxes[:, 2:]))
        smaller = np.minimum(_area(box[:2], box[2:]), _area(boxes[:, :2], boxes[:, 2:]))
        return (inner / outer > self._overlap) | (inner / smaller > self._covered)


def _area(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the areas of boxes between two corners (..., 2); 0 where a box is empty."""
    sides = np.maximum(high - low + 1, 0)
    area: NDArray[np.int64] = sides[..., 0] * sides[..., 1]
    return area


def _rounded(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round to the nearest integers. A half is rounded away from zero, as in C."""
    return np.trunc(values + np.copysign(0.5, values)).astype(np.int64)


def _enlarged(image: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    for _ in range(times):
        height, width = image.shape[:2]
        image = dlib.resize_image(image, 2 * height + 1, 2 * width + 2)
    return image


def _smaller(box: NDArray[np.int64], times: int) -> NDArray[np.int64]:
    """Give a box of an image that was doubled `times` times in coordinates of the image before."""
    corners = box.astype(np.float64)
    for _ in range(times):
        corners = corners / 2 - (1.25, 0.75, 1.25, 0.75)
    return _rounded(corners)


def layout(height: int, width: int) -> tuple[Boxes, int, int]:
    """Give the boxes of an image's levels in the tiled pyramid, and its height and width.

    Levels are placed below each other until a level fits beside the level before, and about half of
    the rows below the image are used. The other levels are placed upwards along the right edge, as
    far as there is room below the image.

    dlib's unsigned arithmetic lays out images below about 60x25 pixels differently, and fails on
    images narrower than 10 pixels. No window of 80x80 holds a face there.
    """
    sizes = [(width, height)]
    while True:
        w, h = (int(_SMALLER * side) for side in sizes[-1])
        if w == 0 or h < _LEAST_HEIGHT:
            break
        sizes.append((w, h))

    tiles = []
    total = sum(h + _GAP for _, h in sizes) - 2 * _GAP
    bottom, before = 0, 0  # where the next level begins, how wide the last one is
    for w, h in sizes:
        if w <= width - before - _GAP and 2 * (bottom - height) >= total - height:
            break
        tiles.append((0, bottom, w - 1, bottom + h - 1))
        bottom, before = bottom + h + _GAP, w
    bottom -= _GAP
    end = bottom
    for w, h in sizes[len(tiles) :]:
        if end - h < height:
            break
        tiles.append((width - w, end - h, width - 1, end - 1))
        end -= h + _GAP
    return np.array(tiles) + _MARGIN, bottom + 2 * _MARGIN, width + 2 * _MARGIN


def _tile(plane: NDArray[np.float32], channel: NDArray[np.float32], tiles: Boxes) -> None:
    """Write one channel of an image, and ever smaller copies, to their places in `plane`."""
    for left, top, right, bottom in tiles.tolist():
        height, width = bottom - top + 1, right - left + 1
        if channel.shape != (height, width):
            channel = dlib.resize_image(channel, height, width)
        plane[top : bottom + 1, left : right + 1] = channel


# Strips that fit into a processor's caches are fastest, but narrow ones compute much context twice.
_STRIP = 1 << 21  # pixels of a pyramid
_TILE = 1 << 22  # pixels after upsampling, whose pyramid takes 170 MB


def open_cnn(settings: EngineSettings, models: Mapping[str, Path]) -> Search:
    """Open the detector. `models` has its file."""
    detector = CnnDetector(open_session(models["cnn"]), _STRIP)

    def search(photos: Sequence[Pixels], upsample: int) -> list[list[Face]]:
        return [detector(photo, upsample) for photo in photos]

    return tiled(search, _TILE)
