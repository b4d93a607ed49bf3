"""Verification: pairs.txt, the n-fold accuracy and the ROC curve, against answers found by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from meanface.errors import UserError
from meanface.files.schemas import FAILURES
from meanface.files.tables import write_table
from meanface.results.verification import (
    Pair,
    best_threshold,
    pair_distances,
    photo_name,
    read_pairs,
    roc_curve,
    verify,
)
from tests.lfw import needs_lfw
from tests.runs import Run, snakemake

LFW_PAIRS = Path(__file__).parents[4] / "shared" / "lfw" / "pairs-2folds.txt"

# A fold is its distances: those of the same person, those of different ones; None: a photo failed.
Folds = list[tuple[list[float | None], list[float | None]]]

THREE_FOLDS: Folds = [([1], [2]), ([3], [4]), ([1], [5])]
WITH_UNSCORED: Folds = [([None], [2]), ([3], [4]), ([0.5], [None])]


class Photos:
    """Photos whose pairs lie at the given distances: of each two, one at 0 and one at d."""

    def __init__(self, folds: Folds) -> None:
        self.lines = [f"{len(folds)}\t{len(folds[0][0])}"]
        self.paths: list[str] = []
        self.failed: list[str] = []
        self.first_coordinate: list[float] = []
        for same, different in folds:
            for distance in same:
                name = f"Ann_{len(self.lines)}"
                self._add(f"{name}\t1\t2", (name, 1, 0), (name, 2, distance))
            for distance in different:
                name, other = f"Bob_{len(self.lines)}", f"Cy_{len(self.lines)}"
                self._add(f"{name}\t1\t{other}\t3", (name, 1, 0), (other, 3, distance))

    def _add(self, line: str, *photos: tuple[str, int, float | None]) -> None:
        self.lines.append(line)
        for name, number, at in photos:
            path = f"album/{name}/{name}_{number:04d}.jpg"
            if at is None:
                self.failed.append(path)
            else:
                self.paths.append(path)
                self.first_coordinate.append(at)

    def embeddings(self) -> NDArray[np.float32]:
        embeddings = np.zeros((len(self.paths), 128), dtype=np.float32)
        embeddings[:, 0] = self.first_coordinate
        return embeddings

    def write_pairs(self, folder: Path) -> Path:
        return write_pairs(folder, *self.lines)

    def write_results(self, folder: Path) -> None:
        folder.mkdir()
        pd.DataFrame({"path": self.paths}).to_parquet(folder / "faces.parquet")
        failures = [(path, "no_face", "", "000") for path in self.failed]
        write_table(folder / "failures.csv", FAILURES, failures)
        np.save(folder / "embeddings.npy", self.embeddings())


def write_pairs(folder: Path, *lines: str) -> Path:
    path = folder / "pairs.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def distances_of(
    tmp_path: Path, folds: Folds
) -> tuple[list[Pair], NDArray[np.bool_], NDArray[np.float64]]:
    photos = Photos(folds)
    pairs = read_pairs(photos.write_pairs(tmp_path))
    distances = pair_distances(pairs, photos.paths, photos.failed, photos.embeddings())
    return pairs, np.array([pair.same for pair in pairs]), distances


# --- pairs.txt


def test_pairs_are_read_in_order_with_their_folds(tmp_path: Path) -> None:
    path = write_pairs(
        tmp_path, "2\t1", "Zoë\t1\t4", "Al\t2\tBo\t13", "Bo\t9\t12345", "Al\t1\tCy\t1"
    )
    assert read_pairs(path) == [
        Pair(0, "Zoë/Zoë_0001", "Zoë/Zoë_0004", same=True),
        Pair(0, "Al/Al_0002", "Bo/Bo_0013", same=False),
        Pair(1, "Bo/Bo_0009", "Bo/Bo_12345", same=True),
        Pair(1, "Al/Al_0001", "Cy/Cy_0001", same=False),
    ]


def test_a_single_number_heads_one_fold(tmp_path: Path) -> None:
    path = tmp_path / "pairsDevTest.txt"
    path.write_bytes(b"2\r\nAl\t1\t2\r\nAl\t1\t3\r\nAl\t1\tBo\t1\r\nAl\t1\tBo\t2\r\n\r\n")
    assert [(pair.fold, pair.same) for pair in read_pairs(path)] == [
        (0, True),
        (0, True),
        (0, False),
        (0, False),
    ]


@needs_lfw
def test_lfw_pairs_are_read() -> None:
    pairs = read_pairs(LFW_PAIRS)
    assert len(pairs) == 1200
    assert [sum(pair.same for pair in pairs if pair.fold == fold) for fold in (0, 1)] == [300, 300]
    assert pairs[0].second == "Abel_Pacheco/Abel_Pacheco_0004"


SAME, DIFFERENT = "Al\t1\t2", "Al\t1\tBo\t1"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], "line 1: expected the numbers"),
        (["ten\t300", SAME, DIFFERENT], "line 1: expected the numbers"),
        (["1\t1\t1", SAME, DIFFERENT], "line 1: expected the numbers"),
        (["0\t300"], "line 1: expected the numbers"),
        (["-1", SAME], "line 1: expected the numbers"),
        (["1", SAME], "line 2: the file ends after 1 pair, but line 1 says .* = 2"),
        (["1", SAME, DIFFERENT, SAME], "line 4: the file ends after 3 pairs"),
        (["1", DIFFERENT, SAME], "line 2: expected a pair of the same person"),
        (["1", SAME, SAME], "line 3: expected a pair of two persons"),
        (["2\t1", SAME, DIFFERENT, "", DIFFERENT], "line 4: expected a pair of the same person"),
        (["1", SAME, "Al\t1\tAl\t2"], "line 3: expected a pair of two persons"),
        (["1", "Al\t1\tx", DIFFERENT], "line 2: expected two numbers of photos, found '1' and 'x'"),
        (["1", "Al\t7\t07", DIFFERENT], "line 2: Al/Al_0007 is paired with itself"),
    ],
)
def test_a_malformed_file_is_refused_with_the_line(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=rf"pairs\.txt, {message}") as error:
        read_pairs(write_pairs(tmp_path, *lines))
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pairs\.txt cannot be read"):
        read_pairs(tmp_path / "pairs.txt")
    (tmp_path / "pairs.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"pairs\.txt is not UTF-8"):
        read_pairs(tmp_path / "pairs.txt")


# --- distances


def test_a_photo_is_named_by_its_last_folder_and_stem() -> None:
    for path in ("Al/Al_0001.jpg", "a/b/Al/Al_0001.jpeg", "Al/Al_0001"):
        assert photo_name(path) == "Al/Al_0001"
    assert photo_name("St.Jo/St.Jo_0001.png") == "St.Jo/St.Jo_0001"
    assert photo_name("Al_0001.jpg") == "/Al_0001"


def pair_of(first: str, second: str) -> Pair:
    return Pair(0, first, second, same=False)


def test_distances_are_euclidean_and_infinite_where_a_photo_failed() -> None:
    embeddings = np.zeros((3, 128), dtype=np.float32)
    embeddings[1, :2] = 3, 4
    embeddings[2, 127] = 1
    pairs = [pair_of("A/A_1", "B/B_1"), pair_of("B/B_1", "C/C_1"), pair_of("C/C_1", "D/D_1")]
    distances = pair_distances(
        pairs, ["x/A/A_1.jpg", "x/B/B_1.jpg", "y/z/C/C_1.png"], ["x/D/D_1.jpg"], embeddings
    )
    assert distances.dtype == np.float64
    assert distances.tolist() == [5, np.sqrt(26), np.inf]


@pytest.mark.parametrize(
    ("photos", "failed", "message"),
    [
        (["A/A_1.jpg"], [], "B/B_1, which is neither in faces.parquet nor in failures.csv"),
        (["A/A_1.jpg", "B/B_1.jpg", "x/A/A_1.jpg"], [], "be A/A_1.jpg or x/A/A_1.jpg"),
        (["A/A_1.jpg", "B/B_1.jpg"], ["B/B_1.png"], "be B/B_1.jpg or B/B_1.png"),
        (
            ["A/A_1.jpg", "B/B_1.jpg", "B/B_1.jpg"],
            [],
            "faces.parquet has 2 rows for B/B_1.jpg: .* one face per photo",
        ),
        (["A/A_1.jpg", "B/B_1.jpg", "C/C_1.jpg", "C/C_1.jpg"], [], "one face per photo"),
    ],
)
def test_photos_that_do_not_fit_the_pairs_are_named(
    photos: list[str], failed: list[str], message: str
) -> None:
    embeddings = np.zeros((len(photos), 128), dtype=np.float32)
    with pytest.raises(UserError, match=message):
        pair_distances([pair_of("A/A_1", "B/B_1")], photos, failed, embeddings)


def test_photos_that_no_pair_names_may_share_a_name() -> None:
    photos = ["A/A_1.jpg", "B/B_1.jpg", "C/C_1.jpg", "C/C_1.png"]
    embeddings = np.eye(4, 128, dtype=np.float32)
    distances = pair_distances([pair_of("A/A_1", "B/B_1")], photos, [], embeddings)
    assert distances.tolist() == [np.sqrt(2)]


def test_tables_of_another_run_are_refused() -> None:
    with pytest.raises(UserError, match=r"embeddings\.npy has 2 rows and faces\.parquet 1"):
        pair_distances([], ["A/A_1.jpg"], [], np.zeros((2, 128), dtype=np.float32))


# --- accuracy


def test_a_fold_is_scored_at_the_threshold_of_the_others(tmp_path: Path) -> None:
    # Fold 0 parts at 3.5, fold 1 at 2.875. At 2.875 fold 0's pair at 3 is called wrongly.
    pairs, _, distances = distances_of(tmp_path, [([1, 3], [4, 6]), ([1, 2], [3.75, 6])])
    result = verify(pairs, distances)
    assert [(fold.threshold, fold.accuracy, fold.pairs) for fold in result.folds] == [
        (2.875, 0.75, 4),
        (3.5, 1.0, 4),
    ]
    assert (result.accuracy, result.standard_error, result.auc) == (0.875, 0.125, 1.0)
    assert (result.pairs, result.unscored, result.unscored_same) == (8, 0, 0)


def test_three_folds(tmp_path: Path) -> None:
    # The thresholds 1.5 and 3.5 are equally good on folds 0 and 1: the smaller one is taken.
    pairs, _, distances = distances_of(tmp_path, THREE_FOLDS)
    result = verify(pairs, distances)
    assert [fold.threshold for fold in result.folds] == [3.5, 1.5, 1.5]
    assert [fold.accuracy for fold in result.folds] == [0.5, 0.5, 1.0]
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.standard_error == pytest.approx(1 / 6)
    assert result.auc == pytest.approx(8 / 9)


def test_unscored_pairs_are_called_different(tmp_path: Path) -> None:
    pairs, same, distances = distances_of(tmp_path, WITH_UNSCORED)
    result = verify(pairs, distances)
    assert (result.pairs, result.unscored, result.unscored_same) == (6, 2, 1)
    assert [fold.threshold for fold in result.folds] == [3.5, 1.25, 1.0]
    assert [fold.accuracy for fold in result.folds] == [0.0, 0.5, 1.0]
    assert result.accuracy == 0.5
    assert result.standard_error == pytest.approx(0.5 / np.sqrt(3))
    assert result.auc == pytest.approx(5.5 / 9)
    roc = roc_curve(same, distances)
    assert roc.threshold.tolist() == [0.25, 1.25, 2.5, 3.5, 4.5, np.inf]
    assert (3 * roc.false_positive_rate).tolist() == pytest.approx([0, 0, 1, 1, 2, 3])
    assert (3 * roc.true_positive_rate).tolist() == pytest.approx([0, 1, 1, 2, 2, 3])


def test_unscored_pairs_are_counted(tmp_path: Path) -> None:
    folds: Folds = [([1, None], [2, 3]), ([1, None], [None, 2])]
    pairs, _, distances = distances_of(tmp_path, folds)
    result = verify(pairs, distances)
    assert (result.pairs, result.unscored, result.unscored_same) == (8, 3, 2)


def test_a_pair_at_the_threshold_is_called_different(tmp_path: Path) -> None:
    pairs, _, distances = distances_of(tmp_path, [([1], [2]), ([1], [1.5])])
    result = verify(pairs, distances)
    assert [fold.threshold for fold in result.folds] == [1.25, 1.5]
    assert result.accuracy == 1.0


def test_the_curve_starts_where_no_pair_is_called_the_same() -> None:
    roc = roc_curve(np.array([True, False]), np.array([0.0, 0.0]))
    assert roc.threshold.tolist() == [0.0, 0.5, np.inf]
    assert roc.false_positive_rate.tolist() == [0.0, 1.0, 1.0]
    assert roc.true_positive_rate.tolist() == [0.0, 1.0, 1.0]


def test_where_no_pair_can_be_scored_half_is_right(tmp_path: Path) -> None:
    pairs, _, distances = distances_of(tmp_path, [([None], [None]), ([None], [None])])
    result = verify(pairs, distances)
    assert (result.accuracy, result.standard_error, result.auc) == (0.5, 0, 0.5)
    assert (result.unscored, result.unscored_same) == (4, 2)


def test_one_fold_is_refused(tmp_path: Path) -> None:
    pairs, _, distances = distances_of(tmp_path, [([1, 2], [3, 4])])
    with pytest.raises(UserError, match="at least two"):
        verify(pairs, distances)


@pytest.mark.parametrize(
    ("same", "different", "threshold"),
    [
        ([1, 2], [3, 4], 2.5),
        ([3, 4], [1, 2], 0.5),  # nothing is the same
        ([1, 3, 3], [3], 3.5),  # everything is the same
        ([0], [0], 0.0),  # at distance 0 too, a pair can be called different
        ([1, 5], [3, 7], 2.0),  # 2 and 6 are equally good
    ],
)
def test_best_threshold(same: list[float], different: list[float], threshold: float) -> None:
    labels = np.array([True] * len(same) + [False] * len(different))
    assert best_threshold(labels, np.array([*same, *different], dtype=np.float64)) == threshold


def test_the_curve_and_the_best_threshold_agree_with_counting() -> None:
    random = np.random.default_rng(0)
    same = random.random(400) < 0.5
    # Rounded, so that distances repeat within and across the classes.
    distances = np.round(random.normal(1 - 0.3 * same, 0.2), 2)
    distances[random.random(400) < 0.1] = np.inf
    roc = roc_curve(same, distances)
    for threshold, false_rate, true_rate in zip(
        roc.threshold[:-1], roc.false_positive_rate, roc.true_positive_rate, strict=False
    ):
        assert false_rate == (distances[~same] < threshold).mean()
        assert true_rate == (distances[same] < threshold).mean()
    # The area is the chance that a pair of the same person lies closer than one of different ones.
    closer = distances[same][:, None] < distances[~same]
    level = distances[same][:, None] == distances[~same]
    assert roc.area() == pytest.approx((closer + 0.5 * level).mean(), abs=1e-12)

    def accuracy(threshold: float) -> float:
        return float(((distances < threshold) == same).mean())

    every = [accuracy(threshold) for threshold in np.arange(-0.005, 3, 0.01)]
    assert accuracy(best_threshold(same, distances)) == max(every)


# --- the target lfw_accuracy, on results made by hand


def score(tmp_path: Path, **config: object) -> Run:
    """Ask the workflow for lfw_accuracy, with the results before it taken as they are."""
    rules = ("lfw_accuracy", "score_pairs", "plot_roc")
    return snakemake(tmp_path, "lfw_accuracy", "--allowed-rules", *rules, **config)


def test_the_target_gives_scores_curve_and_plots(tmp_path: Path) -> None:
    photos = Photos(WITH_UNSCORED)
    photos.write_pairs(tmp_path)
    photos.write_results(tmp_path / "results")
    run = score(tmp_path, pairs="pairs.txt")
    assert run.code == 0, run.output
    assert "accuracy  50.00 % of 6 pairs called rightly, standard error 28.87 %" in run.output
    accuracy = tmp_path / "results" / "accuracy"
    scores = json.loads((accuracy / "lfw.json").read_text())
    assert scores == {
        "accuracy": 0.5,
        "standard_error": pytest.approx(0.5 / np.sqrt(3)),
        "auc": pytest.approx(5.5 / 9),
        "pairs": 6,
        "unscored": 2,
        "unscored_same": 1,
        "folds": [
            {"threshold": 3.5, "accuracy": 0.0, "pairs": 2},
            {"threshold": 1.25, "accuracy": 0.5, "pairs": 2},
            {"threshold": 1.0, "accuracy": 1.0, "pairs": 2},
        ],
    }
    roc = pd.read_csv(accuracy / "roc.csv")
    assert list(roc) == ["threshold", "false_positive_rate", "true_positive_rate"]
    assert roc["threshold"].tolist() == [0.25, 1.25, 2.5, 3.5, 4.5, np.inf]
    assert (accuracy / "roc.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (accuracy / "roc.svg").read_text()
    assert not list(accuracy.glob("*.part"))


def test_pairs_of_other_photos_stop_the_target_with_one_line(tmp_path: Path) -> None:
    write_pairs(tmp_path, "2\t1", SAME, DIFFERENT, SAME, DIFFERENT)
    Photos(THREE_FOLDS).write_results(tmp_path / "results")
    run = score(tmp_path, pairs="pairs.txt")
    assert run.code == 1
    assert "Al/Al_0001, which is neither in faces.parquet nor in failures.csv" in run.output
    assert not list((tmp_path / "results" / "accuracy").glob("*"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "pairs: lfw_accuracy needs the path of a pairs.txt"),
        ({"pairs": "pairs.txt", "face": "all"}, "face: lfw_accuracy needs one face per photo"),
    ],
)
def test_the_target_is_refused_before_anything_runs(
    tmp_path: Path, config: dict[str, str], message: str
) -> None:
    photos = Photos(THREE_FOLDS)
    photos.write_pairs(tmp_path)
    photos.write_results(tmp_path / "results")
    run = score(tmp_path, **config)
    assert run.code == 1
    assert message in run.output
    assert not run.jobs
