"""The statistics: exact sums against fractions, math and numpy; the tables against counting."""

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from meanface.errors import AccountingError
from meanface.files.schemas import IDENTITIES
from meanface.files.tables import read_table
from meanface.results.exact_moments import ExactMoments
from meanface.results.exact_sum import ExactSum
from meanface.results.statistics import (
    Statistics,
    distances,
    read_statistics,
    statistics_of,
    write_statistics,
)
from tests.runs import ROOT

RESULTS = ("statistics.npz", "identities.csv", "identities.npy", "mean_by_identity.npy")
COLUMNS = ("path", "identity", "faces", "distance", "duplicate_of")


def random_vectors(rows: int, dimensions: int = 128, seed: int = 1) -> NDArray[np.float32]:
    """Embeddings as dlib's are: their mean's length is about 1.3, a number's deviation 0.06."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(0, 0.115, dimensions)
    return (centre + rng.normal(0, 0.06, (rows, dimensions))).astype(np.float32)


def moments(*parts: NDArray[np.float32]) -> ExactMoments:
    result = ExactMoments(parts[0].shape[1])
    for part in parts:
        result.add(part)
    return result


def test_the_statistics_of_many_embeddings_are_those_of_numpy() -> None:
    vectors = random_vectors(10_000)
    result = statistics_of(moments(vectors))
    wide = vectors.astype(np.float64)
    scale = np.outer(wide.std(axis=0), wide.std(axis=0))
    assert np.abs((result.covariance - np.cov(wide.T)) / scale).max() < 1e-12
    assert np.array_equal(result.covariance, result.covariance.T)
    np.testing.assert_allclose(result.mean, wide.mean(axis=0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(result.standard_deviation, wide.std(axis=0, ddof=1), rtol=1e-12)
    error = wide.std(axis=0, ddof=1) / np.sqrt(10_000)
    np.testing.assert_allclose(result.standard_error, error, rtol=1e-12)
    assert math.hypot(*result.unit_mean) == pytest.approx(1, abs=1e-15)
    length = math.hypot(*result.mean)
    np.testing.assert_allclose(result.unit_mean * length, result.mean, rtol=1e-15)


def test_one_embedding_does_not_tell_how_others_scatter() -> None:
    vector = random_vectors(1)
    result = statistics_of(moments(vector))
    assert np.array_equal(result.mean, vector[0].astype(np.float64))
    assert result.count == 1
    for unknown in (result.covariance, result.standard_deviation, result.standard_error):
        assert np.isnan(unknown).all()
    assert result.covariance.shape == (128, 128)


@pytest.mark.filterwarnings("error")
def test_a_mean_of_zero_has_no_direction() -> None:
    result = statistics_of(moments(np.array([[1, -2], [-1, 2]], dtype=np.float32)))
    assert np.array_equal(result.mean, [0, 0])
    assert np.isnan(result.unit_mean).all()
    assert np.array_equal(result.covariance, [[2, -4], [-4, 8]])


def test_equal_embeddings_do_not_scatter() -> None:
    result = statistics_of(moments(np.repeat(random_vectors(1), 7, axis=0)))
    assert np.array_equal(result.covariance, np.zeros((128, 128)))
    assert np.array_equal(
        statistics_of(moments(np.zeros((3, 2), np.float32))).covariance, [[0] * 2] * 2
    )


def test_no_embeddings_have_no_statistics() -> None:
    with pytest.raises(ValueError, match="no vectors"):
        statistics_of(ExactMoments(2))


def test_distances_are_euclidean() -> None:
    vectors, mean = random_vectors(300), random_vectors(1, seed=2)[0].astype(np.float64)
    expected = [math.dist(vector, mean) for vector in vectors.tolist()]
    np.testing.assert_allclose(distances(vectors, mean), expected, rtol=1e-14)
    assert np.array_equal(distances(vectors[:1], vectors[0].astype(np.float64)), [0])
    assert distances(vectors[:0], mean).shape == (0,)


def test_a_distance_does_not_depend_on_the_other_rows_or_the_layout() -> None:
    vectors, mean = random_vectors(9000), random_vectors(1, seed=2)[0].astype(np.float64)
    whole = distances(vectors, mean)
    for first, last in ((0, 1), (8191, 8193), (17, 1000), (8999, 9000)):
        assert np.array_equal(distances(vectors[first:last], mean), whole[first:last])
    assert np.array_equal(distances(vectors[::-1], mean)[::-1], whole)
    assert np.array_equal(distances(np.asfortranarray(vectors), mean), whole)


@dataclass(frozen=True)
class Merged:
    """What the merge stage leaves to this one."""

    embeddings: Path
    faces: Path
    mean: Path


def merged(
    folder: Path,
    vectors: NDArray[np.float32],
    identities: Sequence[str],
    duplicates: Sequence[str] | None = None,
    counted: Sequence[int] | None = None,
) -> Merged:
    """Write the files for embeddings and their identities; the mean is that of `counted` rows."""
    folder.mkdir(exist_ok=True, parents=True)
    files = Merged(folder / "embeddings.npy", folder / "faces.parquet", folder / "mean.npy")
    np.save(files.embeddings, vectors, allow_pickle=False)
    rows = [
        (f"{identity}/{row}.jpg", identity, 1, 0.5, duplicate)
        for row, (identity, duplicate) in enumerate(
            zip(identities, duplicates or [""] * len(vectors), strict=True)
        )
    ]
    pd.DataFrame(rows, columns=COLUMNS).to_parquet(files.faces)
    total = ExactSum(vectors.shape[1])
    total.add(vectors if counted is None else vectors[counted])
    np.save(files.mean, total.mean(), allow_pickle=False)
    return files


def written(files: Merged, folder: Path, *, deduplicate: bool = False) -> dict[str, bytes]:
    """Write the statistics; give the bytes of each file."""
    folder.mkdir()
    write_statistics(
        files.embeddings,
        files.faces,
        files.mean,
        deduplicate=deduplicate,
        statistics=folder / "statistics.npz",
        identities=folder / "identities.csv",
        identity_means=folder / "identities.npy",
        mean_by_identity=folder / "mean_by_identity.npy",
    )
    assert sorted(path.name for path in folder.iterdir()) == sorted(RESULTS)
    return {name: (folder / name).read_bytes() for name in RESULTS}


def exact_mean(vectors: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([math.fsum(column) / len(vectors) for column in vectors.T.tolist()])


def test_the_persons_in_order_with_their_means(tmp_path: Path) -> None:
    identities = ["Zoë", "Ann", "", "Zoë", "Bob", "", "Zoë"]
    vectors = random_vectors(7)
    written(merged(tmp_path, vectors, identities), tmp_path / "out")
    table = pd.read_csv(tmp_path / "out/identities.csv", keep_default_na=False)
    means = np.load(tmp_path / "out/identities.npy", allow_pickle=False)
    overall = exact_mean(vectors)
    assert table.columns.tolist() == ["identity", "photos", "spread", "distance"]
    assert table["identity"].tolist() == ["", "Ann", "Bob", "Zoë"]
    assert table["photos"].tolist() == [2, 1, 1, 3]
    rows_of = [[2, 5], [1], [4], [0, 3, 6]]
    assert means.dtype == np.float64
    assert np.array_equal(means, [exact_mean(vectors[rows]) for rows in rows_of])
    spread = [
        math.sqrt(sum(math.dist(vectors[row], mean) ** 2 for row in rows) / len(rows))
        for rows, mean in zip(rows_of, means, strict=True)
    ]
    assert table["spread"].tolist() == [round(value, 6) for value in spread]
    assert table["spread"][1] == 0
    assert table["distance"].tolist() == [round(math.dist(mean, overall), 6) for mean in means]
    by_identity = np.load(tmp_path / "out/mean_by_identity.npy", allow_pickle=False)
    assert np.array_equal(by_identity, exact_mean(means))
    assert not np.allclose(by_identity, overall)


def test_the_archive_of_statistics(tmp_path: Path) -> None:
    vectors = random_vectors(50)
    written(merged(tmp_path, vectors, ["Ann"] * 50), tmp_path / "out")
    expected = statistics_of(moments(vectors))
    with np.load(tmp_path / "out/statistics.npz", allow_pickle=False) as archive:
        assert {name: (array.dtype.kind, array.shape) for name, array in archive.items()} == {
            "count": ("i", ()),
            "mean": ("f", (128,)),
            "unit_mean": ("f", (128,)),
            "standard_deviation": ("f", (128,)),
            "covariance": ("f", (128, 128)),
            "standard_error": ("f", (128,)),
            "standard_error_by_person": ("f", (128,)),
        }
        for name, array in archive.items():
            assert np.array_equal(array, getattr(expected, name), equal_nan=True), name
    found = read_statistics(tmp_path / "out/statistics.npz")
    assert type(found.count) is int
    for field in fields(Statistics):
        assert np.array_equal(
            getattr(found, field.name), getattr(expected, field.name), equal_nan=True
        )
    assert found.error_of_mean == pytest.approx(math.hypot(*expected.standard_error), rel=1e-14)


def test_the_order_of_rows_changes_no_byte(tmp_path: Path) -> None:
    """One person of 9,000 photos, one of 1,100 and 400 others: every way to sum is taken."""
    rng = np.random.default_rng(3)
    identities = ["many"] * 9000 + ["more"] * 1100 + [f"p{i % 400}" for i in range(1000)]
    vectors = random_vectors(len(identities))
    files = merged(tmp_path / "a", vectors, identities)
    order = rng.permutation(len(identities))
    shuffled = merged(tmp_path / "b", vectors[order], [identities[row] for row in order])
    result = written(files, tmp_path / "out")
    assert result == written(shuffled, tmp_path / "shuffled")
    means = np.load(tmp_path / "out/identities.npy", allow_pickle=False)
    assert np.array_equal(means[0], exact_mean(vectors[:9000]))
    assert np.array_equal(means[1], exact_mean(vectors[9000:10100]))
    assert np.array_equal(means[2], exact_mean(vectors[10100::400]))


@pytest.mark.parametrize("smallest", [0, -40])
def test_the_order_of_rows_changes_no_bit_of_a_person(smallest: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    # Few numbers of about one size add up without rounding, whatever their order.
    vectors = np.ldexp(random_vectors(3000), rng.integers(smallest, 1, (3000, 128)))
    identities = np.repeat(["one", "many", "few"], [1, 2900, 99])
    expected = written(merged(tmp_path / "in", vectors, identities.tolist()), tmp_path / "out")
    for number, order in enumerate((np.arange(3000)[::-1], rng.permutation(3000))):
        files = merged(tmp_path / f"in{number}", vectors[order], identities[order].tolist())
        assert written(files, tmp_path / f"out{number}") == expected


def test_duplicates_are_left_out_where_asked(tmp_path: Path) -> None:
    vectors = random_vectors(6)
    identities = ["Ann", "Ann", "Bob", "Cid", "Bob", "Dan"]
    duplicates = ["", "Ann/0.jpg", "", "Ann/0.jpg", "", ""]
    vectors[[1, 3]] = vectors[0]
    kept = [0, 2, 4, 5]
    deduplicated = merged(tmp_path / "a", vectors, identities, duplicates, kept)
    alone = merged(tmp_path / "b", vectors[kept], [identities[row] for row in kept])
    result = written(deduplicated, tmp_path / "deduplicated", deduplicate=True)
    assert result == written(alone, tmp_path / "alone")
    with_all = merged(tmp_path / "c", vectors, identities, duplicates)
    assert written(with_all, tmp_path / "all")["identities.csv"].count(b"\n") == 5


NAMES = ["NA", "null", "None", "nan", "", "007", "7", "1e5", "True", " x ", "a,b", 'say "x"']
NAMES += ["two\nlines", "back\rward", "=1+1", "#1", "é", "e", "E", "ﬀ", "日本", "😀", "<b>"]


def test_any_name_is_a_person_of_its_own(tmp_path: Path) -> None:
    vectors = random_vectors(2 * len(NAMES))
    written(merged(tmp_path, vectors, NAMES + NAMES), tmp_path / "out")
    table = read_table(tmp_path / "out/identities.csv", IDENTITIES)
    assert table["identity"].tolist() == sorted(NAMES)
    assert table["photos"].tolist() == [2] * len(NAMES)
    means = np.load(tmp_path / "out/identities.npy", allow_pickle=False)
    for name, mean in zip(table["identity"], means, strict=True):
        assert np.array_equal(mean, exact_mean(vectors[NAMES.index(name) :: len(NAMES)])), name


def refused(files: Merged, folder: Path, match: str, *, deduplicate: bool = False) -> None:
    with pytest.raises(AccountingError, match=match):
        written(files, folder, deduplicate=deduplicate)
    assert list(folder.iterdir()) == []


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    vectors = random_vectors(3)
    files = merged(tmp_path / "a", vectors, ["Ann"] * 3, ["", "", "Ann/0.jpg"])
    refused(files, tmp_path / "mean", "mean.npy is not the mean of 2 rows", deduplicate=True)
    np.save(files.embeddings, vectors[:2], allow_pickle=False)
    refused(files, tmp_path / "short", r"float32 \(2, 128\) for 3 rows")
    np.save(files.embeddings, vectors.astype(np.float64), allow_pickle=False)
    refused(files, tmp_path / "wide", r"float64 \(3, 128\) for 3 rows")


def test_the_rule_writes_them(tmp_path: Path) -> None:
    results = tmp_path / "run/results"
    files = merged(results, random_vectors(4), ["Ann", "Bob", "Bob", ""])
    (tmp_path / "Snakefile").write_text(
        f'config["deduplicate"] = False\n\n\ninclude: "{ROOT}/rules/statistics.smk"\n'
    )
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "statistics"]
    command += ["--snakefile", str(tmp_path / "Snakefile"), "--directory", str(tmp_path / "run")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    assert "4 embeddings of 3 identities" in (results / "logs/statistics.log").read_text()
    assert {name: (results / name).read_bytes() for name in RESULTS} == written(
        files, tmp_path / "out"
    )
