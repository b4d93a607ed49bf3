"""Merging shards made by hand: order, exact mean, and accounts that do not add up."""

import csv
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from meanface.errors import AccountingError, UserError
from meanface.results.joined import ShardFiles
from meanface.results.merge import Counts, merge

RESULTS = ("mean.npy", "embeddings.npy", "faces.csv", "faces.parquet", "failures.csv")
FACES = ["path", "identity", "faces", "left", "top", "right", "bottom"]
FACES += ["score", "detector", "shard", "distance", "duplicate_of", "angle"]


def vector(*seed: object) -> NDArray[np.float32]:
    """An embedding like no other: float32 (128,)."""
    rng = np.random.default_rng(list(repr(seed).encode()))
    return rng.normal(0, 0.1, 128).astype(np.float32)


def content(path: str) -> str:
    """What photos made here hold: like no other, but where they are called `copy` of another."""
    return hashlib.sha256(path.removeprefix("copy of ").encode()).hexdigest()


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])


def shard(
    folder: Path,
    name: str,
    faces: Sequence[str] = (),
    failed: Mapping[str, str] | None = None,
    *,
    photos: Sequence[str] | None = None,
    embeddings: NDArray[np.floating] | None = None,
) -> ShardFiles:
    """Write a shard: the paths of its faces, one per row, and its failed photos with reasons.

    Row i of the faces has left = i, and embedding vector(path, i). `photos` are those of the
    manifest, by default those encoded and failed; those that begin with "large" were not read,
    those that begin with "unreadable" could not be.
    """
    failed = failed or {}
    if photos is None:
        photos = [*faces, *failed]
    if embeddings is None:
        embeddings = np.array([vector(path, i) for i, path in enumerate(faces)], np.float32)
        embeddings = embeddings.reshape(len(faces), 128)
    folder.mkdir(exist_ok=True)
    files = ShardFiles(*(folder / f"{name}{end}" for end in (".csv", ".npy", ".outcomes.csv")))
    manifest = [
        (path, 0 if path.startswith("unreadable") else 77, "")
        if path.startswith(("large", "unreadable"))
        else (path, 77, content(path))
        for path in sorted(set(photos))
    ]
    write_csv(files.manifest, ("path", "size", "sha256"), manifest)
    rows = [
        (content(path), list(faces).count(path), i, 2, 30, 40, 1.234567, "hog@0", -7.5)
        for i, path in enumerate(faces)
    ]
    failures = [(content(path), *[""] * 8, why, "why, and how") for path, why in failed.items()]
    columns = ("sha256", "faces", *FACES[3:9], "angle", "reason", "detail")
    write_csv(files.outcomes, columns, [*((*row, "", "") for row in rows), *failures])
    np.save(files.embeddings, embeddings, allow_pickle=False)
    return files


@dataclass(frozen=True)
class Merged:
    """The results read back."""

    counts: Counts
    mean: NDArray[np.float64]
    embeddings: NDArray[np.float32]
    faces: pd.DataFrame
    parquet: pd.DataFrame
    failures: pd.DataFrame


def results_in(folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    names = ("mean", "embeddings", "faces", "parquet", "failures")
    files = dict(zip(names, (folder / name for name in RESULTS), strict=True))
    return files | {"failures_alone": folder.parent / "failures_alone.csv"}


def merged(shards: Sequence[ShardFiles], folder: Path, *, deduplicate: bool = False) -> Merged:
    files = results_in(folder)
    counts = merge(shards, deduplicate=deduplicate, **files)
    assert sorted(path.name for path in folder.iterdir()) == sorted(RESULTS)
    text = ("path", "identity", "detector", "shard", "reason", "detail", "duplicate_of")
    return Merged(
        counts,
        np.load(files["mean"], allow_pickle=False),
        np.load(files["embeddings"], allow_pickle=False),
        pd.read_csv(files["faces"], keep_default_na=False, dtype=dict.fromkeys(text, str)),
        pd.read_parquet(files["parquet"]),
        pd.read_csv(files["failures"], keep_default_na=False, dtype=dict.fromkeys(text, str)),
    )


# Sorted by code points: upper case before lower, and what UTF-16 would put before U+FFFD last.
NAMES = ["1.0", "B.jpg", "NA", "a, \"b\"\n'c'.jpg", "a.jpg", "b/a.jpg", "é.jpg", "�", "😀.jpg"]


def test_rows_are_in_the_order_of_the_paths_and_keep_their_embeddings(tmp_path: Path) -> None:
    parts = [[NAMES[i] for i in order] for order in ((8, 5, 2), (4, 1, 7), (6, 0, 3))]
    shards = [shard(tmp_path / "in", str(i), part) for i, part in enumerate(parts)]
    result = merged(shards, tmp_path / "out")
    assert sorted(NAMES) == NAMES
    assert result.faces["path"].tolist() == NAMES
    assert (result.embeddings.dtype, result.embeddings.shape) == (np.float32, (9, 128))
    columns = (result.faces[name].tolist() for name in ("path", "left", "shard"))
    for path, left, number, embedding in zip(*columns, result.embeddings, strict=True):
        assert np.array_equal(embedding, vector(path, left)), path
        assert parts[int(number)][left] == path


def test_a_row_keeps_every_value(tmp_path: Path) -> None:
    result = merged([shard(tmp_path / "in", "0007", ["x/NA/a.jpg"])], tmp_path / "out")
    assert result.faces.columns.tolist() == FACES
    (row,) = result.faces.itertuples(index=False, name=None)
    assert row == ("x/NA/a.jpg", "NA", 1, 0, 2, 30, 40, 1.234567, "hog@0", "0007", 0.0, "", -7.5)


def test_parquet_holds_what_the_table_of_faces_holds(tmp_path: Path) -> None:
    shards = [shard(tmp_path / "in", str(i), NAMES[3 * i : 3 * i + 3]) for i in range(3)]
    result = merged(shards, tmp_path / "out")
    pd.testing.assert_frame_equal(result.parquet, result.faces)


def test_the_distance_is_that_to_the_mean(tmp_path: Path) -> None:
    result = merged([shard(tmp_path / "in", "0", NAMES)], tmp_path / "out")
    exact = [math.dist(row, result.mean) for row in result.embeddings.astype(float)]
    assert result.faces["distance"].tolist() == pytest.approx(exact, abs=6e-7)


def test_a_copy_has_the_outcome_of_its_photo(tmp_path: Path) -> None:
    shards = [
        shard(tmp_path / "in", "0", ["b"], photos=["b", "copy of no"], failed={"no": "no_face"}),
        shard(tmp_path / "in", "1", ["a"], photos=["a", "copy of b", "no"]),
    ]
    result = merged(shards, tmp_path / "out")
    assert result.faces[["path", "shard", "duplicate_of"]].to_numpy().tolist() == [
        ["a", "1", ""],
        ["b", "0", ""],
        ["copy of b", "1", "b"],
    ]
    assert result.failures[["path", "shard"]].to_numpy().tolist() == [
        ["copy of no", "0"],
        ["no", "1"],
    ]
    rows = np.array([vector("a", 0), vector("b", 0), vector("b", 0)])
    assert np.array_equal(result.embeddings, rows)
    assert result.mean.tolist() == [math.fsum(column) / 3 for column in rows.T.astype(float)]
    counts = result.counts
    assert (counts.photos, counts.encoded, counts.failed, counts.duplicates) == (5, 3, 2, 2)


def test_deduplicated_each_content_counts_once_in_the_mean(tmp_path: Path) -> None:
    shards = [shard(tmp_path / "in", "0", ["a", "b"], photos=["a", "b", "copy of b"])]
    result = merged(shards, tmp_path / "out", deduplicate=True)
    rows = np.array([vector("a", 0), vector("b", 1)]).astype(float)
    assert result.mean.tolist() == [math.fsum(column) / 2 for column in rows.T]
    assert result.faces["path"].tolist() == ["a", "b", "copy of b"]
    assert len(result.embeddings) == 3


def test_photos_in_no_folder_of_their_source_are_nobody(tmp_path: Path) -> None:
    files = shard(tmp_path / "in", "0", ["a/1", "a/Ann/2", "b/3"])
    for prefixed, expected in ((True, ["", "Ann", ""]), (False, ["a", "Ann", "b"])):
        into = results_in(tmp_path / "out")
        merge([files], deduplicate=False, prefixed=prefixed, **into)
        faces = pd.read_csv(into["faces"], keep_default_na=False)
        assert faces["identity"].tolist() == expected


def test_a_photo_that_could_not_be_read_fails(tmp_path: Path) -> None:
    files = shard(tmp_path / "in", "0", ["a"], photos=["a", "large", "unreadable"])
    result = merged([files], tmp_path / "out")
    assert result.failures["path"].tolist() == ["large", "unreadable"]
    assert result.failures["reason"].tolist() == ["too_large", "unreadable"]
    assert "could not be read" in result.failures["detail"][1]
    assert (result.counts.photos, result.counts.failed) == (3, 2)


def test_a_photo_too_large_to_be_read_fails(tmp_path: Path) -> None:
    one = shard(tmp_path / "in", "0", ["a"], {"m": "no_face"}, photos=["a", "large", "m"])
    result = merged([one], tmp_path / "out")
    assert result.failures.to_numpy().tolist() == [
        ["large", "too_large", "77 bytes, more than max_bytes allows", "0"],
        ["m", "no_face", "why, and how", "0"],
    ]
    assert (result.counts.photos, result.counts.failed, result.counts.duplicates) == (3, 2, 0)


def test_failures_of_all_shards_are_in_the_order_of_their_paths(tmp_path: Path) -> None:
    shards = [
        shard(tmp_path / "in", "0", ["m"], {"z": "no_face", "B": "truncated"}),
        shard(tmp_path / "in", "1", [], {"é": "no_face", "a": "too_large"}),
    ]
    result = merged(shards, tmp_path / "out")
    assert list(result.failures.itertuples(index=False, name=None)) == [
        ("B", "truncated", "why, and how", "0"),
        ("a", "too_large", "why, and how", "1"),
        ("z", "no_face", "why, and how", "0"),
        ("é", "no_face", "why, and how", "1"),
    ]
    assert result.counts.failed_by_reason == {"no_face": 2, "truncated": 1, "too_large": 1}


def test_the_mean_is_exact_for_any_order_of_the_shards(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 0.1, (31, 128)).astype(np.float32)
    rows[0], rows[30] = 3e7, -3e7  # between these two, naive sums forget what they add
    exact = [math.fsum(column) / len(rows) for column in rows.astype(np.float64).T]
    assert np.add.accumulate(rows)[-1].astype(float).tolist() != [31 * one for one in exact]
    shards = [
        shard(tmp_path / "in", str(i), [f"{i}_{j:02}" for j in range(len(part))], embeddings=part)
        for i, part in enumerate((rows[:10], rows[10:11], rows[11:]))
    ]
    for order in permutations(shards):
        result = merged(order, tmp_path / "out")
        assert (result.mean.dtype, result.mean.shape) == (np.float64, (128,))
        assert result.mean.tolist() == exact
        assert np.array_equal(result.embeddings, rows)


def test_a_photo_with_several_faces_counts_once_and_keeps_their_order(tmp_path: Path) -> None:
    shards = [
        shard(tmp_path / "in", "0", ["m", "z", "m", "m"], {"n": "no_face"}),
        shard(tmp_path / "in", "1", ["o", "a"]),
    ]
    result = merged(shards, tmp_path / "out")
    assert result.faces["path"].tolist() == ["a", "m", "m", "m", "o", "z"]
    assert result.faces["left"].tolist() == [1, 0, 2, 3, 0, 1]
    wanted = zip(result.faces["path"], result.faces["left"], strict=True)
    assert np.array_equal(result.embeddings, [vector(*row) for row in wanted])
    assert result.counts == Counts(
        photos=5,
        encoded=4,
        failed=1,
        faces=6,
        duplicates=0,
        failed_by_reason={"no_face": 1},
        faces_by_detector={"hog@0": 6},
    )


def test_more_rows_than_are_in_memory_at_a_time(tmp_path: Path) -> None:
    """70,000 copies of a photo of one shard, among two other photos."""
    copies = [f"copy of m/{number:05}" for number in range(70_000)]
    shards = [
        shard(tmp_path / "in", "0", ["z"]),
        shard(tmp_path / "in", "1", ["m"], photos=["m", *(name for name in copies)]),
        shard(tmp_path / "in", "2", ["a"]),
    ]
    manifest = pd.read_csv(shards[1].manifest)
    manifest["sha256"] = content("m")
    manifest.to_csv(shards[1].manifest, index=False)
    result = merged(shards, tmp_path / "out")
    assert result.faces["path"].tolist() == ["a", *copies, "m", "z"]
    assert result.counts.duplicates == len(copies)
    rows = [vector("a", 0), *[vector("m", 0)] * 70_001, vector("z", 0)]
    assert np.array_equal(result.embeddings, rows)
    exact = [math.fsum(column) / len(rows) for column in np.array(rows, float).T]
    assert result.mean.tolist() == exact
    pd.testing.assert_frame_equal(result.parquet, result.faces)


def test_empty_shards_change_nothing(tmp_path: Path) -> None:
    full = shard(tmp_path / "in", "1", ["b", "a"], {"c": "no_face"})
    empty = [shard(tmp_path / "in", name) for name in "02"]
    merged([full], tmp_path / "alone")
    merged([empty[0], full, empty[1]], tmp_path / "among")
    for name in RESULTS:
        alone, among = tmp_path / "alone" / name, tmp_path / "among" / name
        assert alone.read_bytes() == among.read_bytes(), name


def test_without_failures_their_table_has_its_header(tmp_path: Path) -> None:
    merged([shard(tmp_path / "in", "0", ["a"])], tmp_path / "out")
    assert (tmp_path / "out/failures.csv").read_text() == "path,reason,detail,shard\n"


def assert_refused(
    shards: Sequence[ShardFiles], folder: Path, error: type[Exception], *said: str
) -> None:
    files = results_in(folder)
    with pytest.raises(error) as raised:
        merge(shards, deduplicate=False, **files)
    message = str(raised.value)
    assert "\n" not in message
    assert [part for part in said if part not in message] == [], message
    assert list(folder.iterdir()) == []


def test_a_lost_photo_is_named_and_there_is_no_result(tmp_path: Path) -> None:
    good = shard(tmp_path / "in", "0", ["a"])
    bad = shard(tmp_path / "in", "1", ["b"], {"c": "no_face"}, photos=["b", "c", "lost"])
    said = (
        str(bad.outcomes),
        "3 photos, but 2 accounted for",
        "'lost' is neither encoded nor failed",
    )
    assert_refused([good, bad], tmp_path / "out", AccountingError, *said)


def test_an_extra_photo_is_named_and_there_is_no_result(tmp_path: Path) -> None:
    for number, files in enumerate(
        (
            shard(tmp_path / "in", "0", ["a", "extra"], photos=["a"]),
            shard(tmp_path / "in", "1", ["a"], {"extra": "no_face"}, photos=["a"]),
        )
    ):
        said = (
            str(files.outcomes),
            f"'{content('extra')}' is counted twice or belongs to no photo",
        )
        assert_refused([files], tmp_path / f"out{number}", AccountingError, *said)


def test_a_photo_that_stands_for_a_lost_one_is_noticed(tmp_path: Path) -> None:
    bad = shard(tmp_path / "in", "0", ["a", "extra"], photos=["a", "lost"])
    assert_refused([bad], tmp_path / "out", AccountingError, str(bad.outcomes), "'lost'")


def test_a_photo_both_encoded_and_failed_is_named(tmp_path: Path) -> None:
    bad = shard(tmp_path / "in", "0", ["a", "twice"], {"twice": "no_face"})
    assert_refused(
        [bad], tmp_path / "out", AccountingError, str(bad.outcomes), "'twice' is counted"
    )


def test_a_photo_that_failed_twice_is_named(tmp_path: Path) -> None:
    bad = shard(tmp_path / "in", "0", ["a"], {"b": "no_face"})
    with bad.outcomes.open("a") as stream:
        stream.write(f"{content('b')},,,,,,,,,truncated,again\n")
    assert_refused(
        [bad], tmp_path / "out", AccountingError, str(bad.outcomes), "'b' is counted twice"
    )


def test_a_face_that_lacks_a_value_is_a_damaged_table(tmp_path: Path) -> None:
    good = shard(tmp_path / "in", "0", ["a"], {"c": "no_face"})
    bad = shard(tmp_path / "in", "1", ["b"], {"d": "no_face"})
    whole = bad.outcomes.read_text()
    assert ",30,40," in whole
    bad.outcomes.write_text(whole.replace(",30,40,", ",30,,"))
    said = (str(bad.outcomes), "damaged")
    assert_refused([good, bad], tmp_path / "out", AccountingError, *said)


@pytest.mark.parametrize("failed", [False, True])
def test_a_photo_in_two_shards_is_named(tmp_path: Path, failed: bool) -> None:
    shards = [
        shard(tmp_path / "in", "0", ["a", "twice"]),
        shard(tmp_path / "in", "1", ["b"], {"twice": "no_face"})
        if failed
        else shard(tmp_path / "in", "1", ["b", "twice"]),
    ]
    assert_refused(shards, tmp_path / "out", AccountingError, "'twice'")


@pytest.mark.parametrize("shape", [(1, 128), (3, 128), (2, 127), (256,), (0, 128)])
def test_embeddings_that_do_not_match_the_table_are_named(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    good = shard(tmp_path / "in", "0", ["c"])
    bad = shard(tmp_path / "in", "1", ["a", "b"], embeddings=np.zeros(shape, np.float32))
    said = (str(bad.embeddings), str(bad.outcomes), str(shape))
    assert_refused([good, bad], tmp_path / "out", AccountingError, *said)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_embedding_that_is_no_number_gives_no_result(tmp_path: Path, wrong: float) -> None:
    embeddings = np.zeros((2, 128), np.float32)
    embeddings[1, 5] = wrong
    bad = shard(tmp_path / "in", "0", ["a", "b"], embeddings=embeddings)
    assert_refused([bad], tmp_path / "out", AccountingError, "0.npy", "not finite")


def test_nothing_encoded_is_said_with_the_reasons(tmp_path: Path) -> None:
    shards = [
        shard(tmp_path / "in", "0", [], {"a": "no_face", "b": "truncated"}),
        shard(tmp_path / "in", "1", [], {"c": "no_face"}),
    ]
    said = ("no photo could be encoded", "no_face 2, truncated 1; see ")
    assert_refused(shards, tmp_path / "out", UserError, *said)


def test_a_set_whose_photos_are_all_excluded_is_refused(tmp_path: Path) -> None:
    files = shard(tmp_path / "in", "0", [])
    assert_refused([files], tmp_path / "out", UserError, "exclude: the list names all photos")


def test_nothing_encoded_leaves_the_failures_and_names_the_format(tmp_path: Path) -> None:
    failed = dict.fromkeys("abc", "unsupported") | {"d": "no_face"}
    files = shard(tmp_path / "in", "0", [], failed)
    said = "unsupported 3, no_face 1; most often: why, and how, convert these photos to JPEG; see "
    assert_refused([files], tmp_path / "out", UserError, said, "failures_alone.csv")
    table = pd.read_csv(tmp_path / "failures_alone.csv", keep_default_na=False)
    assert dict(zip(table["path"], table["reason"], strict=True)) == failed


def test_a_refused_merge_leaves_earlier_results_as_they_were(tmp_path: Path) -> None:
    merged([shard(tmp_path / "in", "0", ["a"])], tmp_path / "out")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in RESULTS}
    bad = shard(tmp_path / "in", "0", ["b"], photos=["b", "lost"])
    with pytest.raises(AccountingError):
        merge([bad], deduplicate=False, **results_in(tmp_path / "out"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
