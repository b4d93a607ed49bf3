"""dlib's HOG detector as dlib saves it, opened with other cells, levels or filters."""

import dlib

from meanface.errors import UserError

# dlib 20 saves integers after their lengths (scan_fhog_pyramid.h, object_detector.h): the side of a
# cell, padding, the sides of a window, levels at most, the least sides of a level; further on the
# number of filters.
_CELL, _LEVELS, _FILTERS = 8, 1000, 5
_WINDOW, _LEAST = 10, 8  # cells


def open_changed(
    hog: bytes, *, cell: int = _CELL, levels: int = _LEVELS, filters: int = _FILTERS
) -> dlib.fhog_object_detector:
    """Open a saved detector with cells of `cell` pixels, `levels` at most, the first `filters`.

    Raises UserError where another version of dlib wrote the file.
    """
    # The number of filters first: the other numbers may hold what looks like it.
    changes = [
        (_integers(_FILTERS), _integers(filters)),
        (_scan(_CELL, _LEVELS), _scan(cell, levels)),
    ]
    for old, new in changes:
        if old not in hog:
            raise UserError("hog.svm: saved by another dlib; install dlib 20, or dlib-bin 20")
        hog = hog.replace(old, new, 1)
    detector = dlib.fhog_object_detector.__new__(dlib.fhog_object_detector)
    detector.__setstate__((hog,))  # dlib reads a detector from a file, or from this state
    return detector


def _scan(cell: int, levels: int) -> bytes:
    window, least = _WINDOW * cell, _LEAST * cell
    return _integers(cell, 0, window, window, levels, least, least)


def _integers(*numbers: int) -> bytes:
    """Give numbers as dlib saves them."""
    lengths = [max(1, -(-number.bit_length() // 8)) for number in numbers]
    return b"".join(
        bytes([length]) + number.to_bytes(length, "little")
        for number, length in zip(numbers, lengths, strict=True)
    )
