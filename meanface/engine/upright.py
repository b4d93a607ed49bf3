"""Tell by how much a face is tilted: landmarks and the encoder know upright faces only.

The CNN detector sees faces that are tilted by up to 60 to 100 degrees, to the left as to the right.
The middle of the turns at which the detector sees a face brings the face upright, within 25
degrees. The 5 landmarks tell the rest: they are right for faces tilted by up to 50 degrees, the 68
landmarks for up to 30. Then the face is searched again, upright, and the measurement is repeated
until the angle changes no more.

Every number below was chosen on LFW; `python -m benchmarks.tilt` shows what it gives.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray

from meanface.engine.cnn import CnnDetector
from meanface.engine.face import Face
from meanface.engine.landmarks import Mark
from meanface.engine.search import Pixels
from meanface.engine.session import open_session

SURE = 0.5
"""HOG finds with a higher score are taken for faces that are tilted by 45 degrees at most.

HOG also finds false faces in faces that are upside down. One in 100 of these scores higher.
"""
_DOUBTFUL = 0.1
"""HOG finds with a lower score may be tilted by more. One in 70 upright faces scores lower."""

UPRIGHT = 25.0  # degrees that the landmarks cope with; LFW's faces reach 22
_SETTLED = 10.0  # degrees: two measurements that differ by less agree
_APART = 45.0  # degrees: detector and landmarks that differ by more contradict each other

SEEN = 0.1  # the CNN detector's score from which it sees a face
BETTER = 0.3  # by so much higher is an upright face's score than when it lies on a side
TURNS = np.arange(0, 360, 45)
SIDES = np.array([0, 90, 270])  # an upright face, and lying on a side
SIZES = 1.0, 0.85  # of a box, because boxes of tilted faces are larger


@dataclass(frozen=True)
class Scale:
    """How a square is cut out: the size of its side in pixels, and of what is cut, in its sides."""

    size: int
    around: float

    @property
    def pixels(self) -> int:
        """The side of what is cut out."""
        return round(self.size * self.around)

    @property
    def box(self) -> Face:
        """The square itself in what is cut out."""
        first = (self.pixels - self.size) // 2
        last = first + self.size - 1
        return Face(first, first, last, last, 0.0)


MARKED = Scale(120, 1.6)
"""In which landmarks are found."""
WINDOW = Scale(80, 1.4)  # in which the CNN detector looks at one face
_NEARBY = Scale(90, 1.8)  # in which it searches faces of 80 pixels and more


@dataclass(frozen=True)
class Square:
    """A square of a photo, which may be turned and reach beyond the photo.

    `x` and `y` are its middle and `side` its size, in pixels of the photo. In the square, a face
    is upright that is turned counterclockwise by `turn` degrees in the photo.
    """

    x: float
    y: float
    side: float
    turn: float = 0.0

    @classmethod
    def of(cls, face: Face) -> "Square":
        """Give the box of a face as a square."""
        side = (face.width + face.height) / 2
        return cls((face.left + face.right) / 2, (face.top + face.bottom) / 2, side)

    def pixels(self, photo: Pixels, scale: Scale) -> Pixels:
        """Cut the square and what is around it out of a photo, uint8 RGB (height, width, 3).

        Gives uint8 (scale.pixels, scale.pixels, 3); black where the photo ends.
        """
        half = self.side * scale.around / 2
        place = dlib.drectangle(self.x - half, self.y - half, self.x + half, self.y + half)
        dims = dlib.chip_dims(scale.pixels, scale.pixels)
        # dlib's angles are clockwise.
        details = dlib.chip_details(place, dims, -math.radians(self.turn))
        cut: Pixels = dlib.extract_image_chip(photo, details)
        return cut

    def to_photo(self, points: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
        """Give the places in the photo of points (n, 2), x and y, of what `pixels` cut out."""
        radians = math.radians(self.turn)
        cosine, sine = math.cos(radians), math.sin(radians)
        from_middle = (points - (scale.pixels - 1) / 2) * (self.side / scale.size)
        turned = from_middle @ np.array([[cosine, -sine], [sine, cosine]])
        return np.asarray(turned + np.array([self.x, self.y]))


def angle_of(landmarks: dlib.full_object_detection) -> float:
    """Give the degrees, from -180 to 180, by which landmarks are turned counterclockwise."""
    return _signed(-math.degrees(dlib.get_face_chip_details(landmarks).angle))


class Upright:
    """Finds the square in which a face is upright."""

    def __init__(self, cnn: Path, five: Mark, *, nearby: bool) -> None:
        """Open the exported CNN detector. `five`: finds 5 landmarks.

        `nearby`: where HOG found no face, search one near it. It may be a face found already.
        """
        self._cnn = CnnDetector(open_session(cnn), 1 << 19)
        self._five = five
        self._nearby = nearby

    def __call__(self, photo: Pixels, face: Face, detector: str, angle: float) -> Square | None:
        """Give the square of a face. Turn 0: the face is upright. None: its angle is unknown.

        `photo` is uint8 RGB (height, width, 3), `detector` the name of the detector that found the
        face, `angle` the angle_of its 5 landmarks.
        """
        found = Square.of(face)
        by_hog = detector.startswith("hog")
        # HOG sees faces tilted by up to 45 degrees, and false faces in faces upside down.
        is_sure = not by_hog or face.score >= SURE
        is_face = is_sure or self._scores(photo, [found])[0] > SEEN
        is_trusted = by_hog and face.score >= _DOUBTFUL
        is_close = abs(angle) <= UPRIGHT
        if is_face and is_close and (is_trusted or self._is_seen_upright(photo, found)):
            return found
        ways = [self._turned, self._elsewhere] if self._nearby else [self._turned]
        if not is_face:
            ways.reverse()
        turned = next(filter(None, (way(photo, found) for way in ways)), None)
        return found if turned and abs(turned.turn) <= UPRIGHT else turned

    def _elsewhere(self, photo: Pixels, square: Square) -> Square | None:
        """Search the face near a false find, upright and upside down; turn its square."""
        if found := self._search(photo, square):
            angle = self._angle(found.pixels(photo, MARKED), MARKED.box)
            if abs(angle) <= UPRIGHT and self._is_seen_upright(photo, found):
                return found
            return self._turned(photo, found)
        found = self._search(photo, replace(square, turn=180.0))
        return found and self._turned(photo, found)

    def _is_seen_upright(self, photo: Pixels, square: Square) -> bool:
        """Tell whether the CNN detector sees a face, tilted by 45 degrees at most."""
        upright, *sideways = self._best(photo, square, SIDES).tolist()
        return bool(upright > SEEN and upright - max(sideways) >= BETTER)

    def _turned(self, photo: Pixels, square: Square) -> Square | None:
        """Turn the square of a face until its angle changes no more."""
        for _ in range(4):
            turned = self._closer(photo, square)
            if turned is None:
                return None
            if abs(_signed(turned.turn - square.turn)) <= _SETTLED:
                [upright] = self._best(photo, turned, SIDES[:1])
                return turned if upright > SEEN else None
            square = turned
        return None

    def _closer(self, photo: Pixels, square: Square) -> Square | None:
        """Turn the square as detector and landmarks say, and centre it on the upright face.

        None: they contradict each other, and the face is not about upright.
        """
        weights = np.maximum(self._best(photo, square, TURNS), 0)
        if weights.max() <= SEEN:
            return None
        middle = (weights * np.exp(1j * np.radians(TURNS))).sum()
        coarse = replace(square, turn=_signed(square.turn + math.degrees(np.angle(middle))))
        settled = self._settled(photo, coarse)
        if settled and abs(_signed(settled.turn - coarse.turn)) <= _APART:
            centred = self._search(photo, settled)
            final = centred and self._settled(photo, centred)
            if final and abs(_signed(final.turn - coarse.turn)) <= _APART:
                return final
        return coarse if abs(coarse.turn) <= UPRIGHT else None

    def _settled(self, photo: Pixels, square: Square) -> Square | None:
        """Turn the square until the landmarks are upright in it; None: they never are."""
        for _ in range(4):
            angle = self._angle(square.pixels(photo, MARKED), MARKED.box)
            square = replace(square, turn=_signed(square.turn + angle))
            if abs(angle) <= _SETTLED:
                return square
        return None

    def _angle(self, photo: Pixels, face: Face) -> float:
        [landmarks] = self._five([(photo, face)])
        return angle_of(landmarks)

    def _search(self, photo: Pixels, square: Square) -> Square | None:
        """Search a face whose middle is in the square; give the square of that face."""
        for face in self._cnn(square.pixels(photo, _NEARBY), 0):
            there = Square.of(face)
            [middle] = square.to_photo(np.array([[there.x, there.y]]), _NEARBY)
            if np.abs(middle - (square.x, square.y)).max() <= square.side / 2:
                x, y = middle.tolist()
                return Square(x, y, there.side * square.side / _NEARBY.size, square.turn)
        return None

    def _best(self, photo: Pixels, square: Square, turns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give the CNN detector's score of the square turned by each of `turns` more degrees."""
        squares = [
            replace(square, turn=square.turn + turn, side=square.side * size)
            for size in SIZES
            for turn in turns.tolist()
        ]
        scores = self._scores(photo, squares).reshape(len(SIZES), -1)
        return np.asarray(scores.max(axis=0))

    def _scores(self, photo: Pixels, squares: Sequence[Square]) -> NDArray[np.float32]:
        """Give the CNN detector's scores of the faces in squares; above 0 is a face."""
        return self._cnn.scores_of(np.stack([square.pixels(photo, WINDOW) for square in squares]))


def _signed(degrees: float) -> float:
    """Give the same angle between -180 and 180."""
    return (degrees + 180) % 360 - 180
