"""Verification: do two photos show the same person? Scored by the protocol of LFW.

Two photos are called the same person when the Euclidean distance of their embeddings is below a
threshold. A pair with a photo that has no embedding is "unscored": its distance is infinite, so
that the pair is called different at every threshold.

The protocol and the format of pairs.txt: Huang, Ramesh, Berg and Learned-Miller, "Labeled Faces in
the Wild", University of Massachusetts, Amherst, Technical Report 07-49, 2007.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from meanface.errors import UserError
from meanface.wording import number_of

_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Pair:
    """Two photos, by names such as `Zico/Zico_0001`. `fold` counts from 0."""

    fold: int
    first: str
    second: str
    same: bool


@dataclass(frozen=True)
class Fold:
    """The accuracy on a fold's pairs, at the threshold that is best for the other folds."""

    threshold: float
    accuracy: float
    pairs: int


@dataclass(frozen=True)
class Verification:
    """The scores of a list of pairs.

    `accuracy` is the mean over the folds. `standard_error` is the standard deviation over the folds
    (n - 1) divided by the square root of their number. `auc` is the area under the ROC curve.
    `unscored_same` of the `unscored` pairs show the same person, and so count as wrong.
    """

    accuracy: float
    standard_error: float
    auc: float
    pairs: int
    unscored: int
    unscored_same: int
    folds: list[Fold]


@dataclass(frozen=True)
class Roc:
    """The rates at each threshold, three float64 arrays of one length, thresholds ascending."""

    threshold: NDArray[np.float64]
    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]

    def area(self) -> float:
        """Give the area under the curve. Pairs of equal distance count half."""
        return float(np.trapezoid(self.true_positive_rate, self.false_positive_rate))


def read_pairs(path: Path) -> list[Pair]:
    """Read the pairs of a file in the format of LFW's pairs.txt, in its order.

    The first line holds the number of folds and the number n of pairs per class, separated by a
    tab, or n alone for one fold. Each fold then has n lines `name i j` (the same person) and n
    lines `name i other j` (different persons), separated by tabs.

    Raises UserError, which names the line, for any other file.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    folds, per_class = _read_header(path, lines[0])
    expected = folds * 2 * per_class
    if len(lines) - 1 != expected:
        raise UserError(
            f"{path}, line {len(lines)}: the file ends after"
            f" {number_of(len(lines) - 1, 'pair')}, but line 1"
            f" says {folds} x (2 x {per_class}) = {expected}"
        )
    return [
        _read_pair(
            line,
            fold=index // (2 * per_class),
            same=index % (2 * per_class) < per_class,
            place=f"{path}, line {index + 2}",
        )
        for index, line in enumerate(lines[1:])
    ]


def _read_header(path: Path, line: str) -> tuple[int, int]:
    columns = line.strip().split("\t")
    if len(columns) <= 2 and all(_NUMBER.fullmatch(column) for column in columns):
        folds, per_class = (1, *map(int, columns))[-2:]
        if folds and per_class:
            return folds, per_class
    raise UserError(
        f"{path}, line 1: expected the numbers of folds and of pairs per class, separated by a"
        f" tab, found {line!r}"
    )


def _read_pair(line: str, *, fold: int, same: bool, place: str) -> Pair:
    match line.split("\t"):
        case [name, i, j] if same:
            other = name
        case [name, i, other, j] if not same and name != other:
            pass
        case _:
            expected = "the same person: name, i, j" if same else "two persons: name, i, other, j"
            raise UserError(f"{place}: expected a pair of {expected}, found {line!r}")
    if not (_NUMBER.fullmatch(i) and _NUMBER.fullmatch(j)):
        raise UserError(f"{place}: expected two numbers of photos, found {i!r} and {j!r}")
    pair = Pair(fold, f"{name}/{name}_{int(i):04d}", f"{other}/{other}_{int(j):04d}", same)
    if pair.first == pair.second:
        raise UserError(f"{place}: {pair.first} is paired with itself")
    return pair


def photo_name(path: str) -> str:
    """Give the name of a photo in pairs.txt: the last folder and the stem of its path."""
    parts = PurePosixPath(path)
    return f"{parts.parent.name}/{parts.stem}"


def pair_distances(
    pairs: Sequence[Pair],
    photos: Sequence[str],
    failed: Sequence[str],
    embeddings: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Give the Euclidean distance of each pair, float64 (len(pairs),), infinite where unscored.

    `photos` are the paths of `embeddings`, float32 (len(photos), dimensions), row by row. `failed`
    are the paths of the photos without an embedding.

    Raises UserError where a pair's photo is in neither list, or is the name of two photos, where a
    photo has several rows, and where the numbers of rows differ.
    """
    if len(photos) != len(embeddings):
        raise UserError(
            f"embeddings.npy has {len(embeddings)} rows and faces.parquet {len(photos)}:"
            " they are not of the same run"
        )
    rows = _rows_by_name(pairs, photos, failed)
    first = np.array([rows[pair.first] for pair in pairs], dtype=np.intp)
    second = np.array([rows[pair.second] for pair in pairs], dtype=np.intp)
    scored = (first >= 0) & (second >= 0)
    difference = embeddings[first[scored]].astype(np.float64) - embeddings[second[scored]]
    distances = np.full(len(pairs), np.inf)
    distances[scored] = np.linalg.norm(difference, axis=1)
    return distances


def _rows_by_name(
    pairs: Sequence[Pair], photos: Sequence[str], failed: Sequence[str]
) -> dict[str, int]:
    """Give the row of each photo that the pairs name, -1 if it failed."""
    path, rows = next(iter(Counter(photos).most_common(1)), ("", 0))
    if rows > 1:
        raise UserError(
            f"faces.parquet has {rows} rows for {path}: verification needs one face per photo,"
            " not every face (face: all)"
        )
    wanted = {name for pair in pairs for name in (pair.first, pair.second)}
    found: dict[str, tuple[str, int]] = {}
    candidates = [*enumerate(photos), *((-1, path) for path in failed)]
    for row, path in candidates:
        name = photo_name(path)
        if name not in wanted:
            continue
        if name in found:
            raise UserError(f"the pairs name {name}, which could be {found[name][0]} or {path}")
        found[name] = path, row
    missing = sorted(wanted - found.keys())
    if missing:
        raise UserError(
            f"the pairs name {missing[0]}, which is neither in faces.parquet nor in failures.csv"
            f" ({number_of(len(missing), 'such photo')}): these pairs belong to other photos"
        )
    return {name: row for name, (_, row) in found.items()}


def verify(pairs: Sequence[Pair], distances: NDArray[np.float64]) -> Verification:
    """Score the pairs by their distances, float64 (len(pairs),), infinite where unscored.

    Raises UserError for a single fold: the threshold would be chosen on the pairs that it is tried
    on, which flatters the result.
    """
    same = np.array([pair.same for pair in pairs], dtype=np.bool_)
    fold = np.array([pair.fold for pair in pairs], dtype=np.intp)
    unscored = ~np.isfinite(distances)
    folds = [_score_fold(distances, same, fold == k) for k in range(fold.max() + 1)]
    accuracies = np.array([fold.accuracy for fold in folds])
    return Verification(
        accuracy=float(accuracies.mean()),
        standard_error=float(accuracies.std(ddof=1) / np.sqrt(len(folds))),
        auc=roc_curve(same, distances).area(),
        pairs=len(pairs),
        unscored=int(unscored.sum()),
        unscored_same=int((unscored & same).sum()),
        folds=folds,
    )


def _score_fold(
    distances: NDArray[np.float64], same: NDArray[np.bool_], held_out: NDArray[np.bool_]
) -> Fold:
    if held_out.all():
        raise UserError(
            "the pairs have one fold: at least two are needed,"
            " since the threshold of each is chosen on the others"
        )
    threshold = best_threshold(same[~held_out], distances[~held_out])
    right = (distances < threshold)[held_out] == same[held_out]
    return Fold(threshold, float(right.mean()), len(right))


def best_threshold(same: NDArray[np.bool_], distances: NDArray[np.float64]) -> float:
    """Give the threshold at which most pairs are called correctly.

    Of several equally good thresholds, the middle one favours neither "same" nor "different". Of
    two in the middle, the smaller one is given.
    """
    thresholds = _thresholds(distances)
    true_positives = _count_below(distances[same], thresholds)
    false_positives = _count_below(distances[~same], thresholds)
    right = true_positives - false_positives
    best = thresholds[right == right.max()]
    return float(best[np.argmin(np.abs(best - (best[0] + best[-1]) / 2))])


def roc_curve(same: NDArray[np.bool_], distances: NDArray[np.float64]) -> Roc:
    """Give the rates at every threshold that changes the call of a pair.

    The rates are shares of all pairs of a class, unscored pairs included. The last threshold is
    infinite: every pair is called the same, so that the curve ends at (1, 1).
    """
    thresholds = _thresholds(distances)
    positives, negatives = distances[same], distances[~same]
    return Roc(
        np.append(thresholds, np.inf),
        np.append(_count_below(negatives, thresholds) / len(negatives), 1.0),
        np.append(_count_below(positives, thresholds) / len(positives), 1.0),
    )


def _thresholds(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the midpoints between neighbouring distances, and one threshold at either end.

    The first threshold is half the smallest distance. The last is the largest distance plus 0.5.
    """
    scored = np.unique(distances[np.isfinite(distances)])
    bounds = np.concatenate(([0.0], scored, [scored.max(initial=0.0) + 1.0]))
    middles: NDArray[np.float64] = (bounds[:-1] + bounds[1:]) / 2
    return middles


def _count_below(
    distances: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> NDArray[np.intp]:
    return np.searchsorted(np.sort(distances), thresholds, side="left")
