"""The cache of outcomes: what it gives back, and that nothing depends on it."""

import errno
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import boto3
import duckdb
import numpy as np
import pytest
import requests
from moto.server import ThreadedMotoServer
from s3fs import S3File, S3FileSystem

from meanface.engine.face import Face
from meanface.engine.outcome import EncodedFace, Failure, Outcome
from meanface.errors import UserError
from meanface.files.scratch import Scratch
from meanface.results import cache as cache_module
from meanface.results.cache import ENGINES, Cache, forget
from meanface.results.cache_index import write_index, write_joined
from meanface.results.outcomes import write_outcomes
from tests.runs import snakemake

ENGINE = "0" * 63


def content(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def outcome(name: str) -> Outcome:
    """What becomes of a photo: `no_face` and the like fail for that, `two` has two faces."""
    if "_" in name:
        return Failure(name, 'a "detail", with a comma\nand a line')
    rng = np.random.default_rng(list(name.encode()))
    return [
        EncodedFace(
            2, Face(i, 2, 30, 40, 0.1234564), "hog@0", 12.3, rng.normal(size=128).astype("f4")
        )
        for i in range(2 if name == "two" else 1)
    ]


def keep(cache: Cache, folder: Path, name: str, photos: Iterable[str]) -> None:
    files = [folder / f"{name}.{kind}" for kind in ("npy", "csv")]
    write_outcomes({content(photo): outcome(photo) for photo in photos}, *files)
    cache.keep(name, *files)


def recalled(cache: Cache, name: str, photos: Iterable[str]) -> set[str]:
    """The photos that the cache knows; what it knows is right."""
    photos = list(photos)
    known = cache.recall(name, [content(photo) for photo in photos])
    for photo in photos:
        if content(photo) in known:
            same(known[content(photo)], outcome(photo))
    assert set(known) <= {content(photo) for photo in photos}
    return {photo for photo in photos if content(photo) in known}


def same(one: Outcome, other: Outcome) -> None:
    if isinstance(one, Failure) or isinstance(other, Failure):
        assert one == other
        return
    for a, b in zip(one, other, strict=True):
        assert (a.faces, a.detector) == (b.faces, b.detector)
        assert a.face == Face(b.face.left, 2, 30, 40, 0.123456)
        assert np.array_equal(a.embedding, b.embedding)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(str(tmp_path / "cache"), ENGINE + "1")


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_kept_is_recalled(cache: Cache, tmp_path: Path) -> None:
    assert recalled(cache, "s", ["a"]) == set()
    keep(cache, tmp_path, "s", ["a", "two", "no_face"])
    assert recalled(cache, "s", ["a", "two", "no_face", "new"]) == {"a", "two", "no_face"}
    assert recalled(cache, "s", ["two"]) == {"two"}


def test_what_passes_is_not_recalled(cache: Cache, tmp_path: Path) -> None:
    keep(cache, tmp_path, "s", ["time_out", "no_face", "out_of_memory"])
    assert recalled(cache, "s", ["no_face", "out_of_memory"]) == {"no_face"}


def test_photos_that_went_to_other_shards_are_found_by_the_index(
    cache: Cache, tmp_path: Path
) -> None:
    keep(cache, tmp_path, "s", ["a", "b"])
    keep(cache, tmp_path, "t", ["c", "no_face"])
    assert recalled(cache, "u", ["a", "c"]) == set()
    cache.tidy(
        {"s": [content("a"), content("b")], "t": [content("c"), content("no_face")]}.items(),
        tmp_path / "index",
    )
    assert recalled(cache, "u", ["a", "c", "no_face", "new"]) == {"a", "c", "no_face"}
    keep(cache, tmp_path, "u", ["a", "c", "no_face"])
    assert recalled(cache, "s", ["a", "b", "c"]) == {"a", "b", "c"}


def test_what_a_later_file_has_as_well_is_removed(cache: Cache, tmp_path: Path) -> None:
    keep(cache, tmp_path, "s", ["a", "no_face"])
    cache.tidy({"s": [content("a"), content("no_face")]}.items(), tmp_path / "i")
    keep(cache, tmp_path, "t", ["a", "b", "no_face"])
    cache.tidy({"t": [content("a"), content("b"), content("no_face")]}.items(), tmp_path / "i")
    assert recalled(cache, "u", ["a", "b", "no_face"]) == {"a", "b", "no_face"}
    assert [path.name for path in files_in(tmp_path / "cache")] == ["index.npz", "t.zip"]


def test_a_run_that_ends_leaves_what_another_run_has_kept_so_far(
    cache: Cache, tmp_path: Path
) -> None:
    keep(cache, tmp_path, "other", ["a", "b"])
    keep(cache, tmp_path, "old", ["c"])
    (old,) = (tmp_path / "cache").rglob("old.zip")
    os.utime(old, (1, 1))
    keep(cache, tmp_path, "mine", ["no_face"])
    cache.tidy({"mine": [content("no_face")]}.items(), tmp_path / "i")
    assert recalled(cache, "other", ["a", "b"]) == {"a", "b"}
    assert not old.exists()


def test_photos_of_other_runs_stay_until_there_is_no_room(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meanface.results.cache.LEAST", 2)
    monkeypatch.setattr("meanface.results.cache.RUNS", 3)
    for name in ("first", "second", "third"):
        keep(cache, tmp_path, name, [f"{name} 1", f"{name} 2"])
        cache.tidy({name: [content(f"{name} 1"), content(f"{name} 2")]}.items(), tmp_path / "i")
    every = {f"{name} 1" for name in ("first", "second", "third")}
    assert recalled(cache, "other", every) == every
    keep(cache, tmp_path, "second", ["second 1", "second 2"])
    cache.tidy({"second": [content("second 1"), content("second 2")]}.items(), tmp_path / "i")
    keep(cache, tmp_path, "fourth", ["fourth 1", "fourth 2"])
    cache.tidy({"fourth": [content("fourth 1"), content("fourth 2")]}.items(), tmp_path / "i")
    assert recalled(cache, "other", every) == {"second 1", "third 1"}, "the last used"
    assert len(files_in(tmp_path / "cache")) == 4
    keep(cache, tmp_path, "small", ["small"])
    cache.tidy({"small": [content("small")]}.items(), tmp_path / "i")
    assert recalled(cache, "other", {"fourth 1", *every}) == {"fourth 1"}


def test_two_runs_that_end_at_the_same_time_leave_one_whole_index(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(cache, tmp_path, "s", ["a"])
    keep(cache, tmp_path, "t", ["b"])
    other = Cache(str(tmp_path / "cache"), ENGINE + "1")

    def interrupted(target: IO[bytes], names: Sequence[str], tables: Scratch) -> None:
        target.write(b"half")
        target.flush()
        monkeypatch.setattr(cache_module, "write_joined", write_joined)
        other.tidy([("t", [content("b")])], tmp_path / "j")
        assert recalled(other, "new", ["b"]) == {"b"}
        target.seek(0)
        write_joined(target, names, tables)

    monkeypatch.setattr(cache_module, "write_joined", interrupted)
    cache.tidy([("s", [content("a")])], tmp_path / "i")
    assert recalled(cache, "new", ["a"]) == {"a"}
    assert cache.trouble is None
    assert other.trouble is None
    assert not [*tmp_path.rglob("*.part")]


def test_an_engine_knows_its_own_outcomes_only(cache: Cache, tmp_path: Path) -> None:
    keep(cache, tmp_path, "s", ["a"])
    assert recalled(Cache(str(tmp_path / "cache"), ENGINE + "2"), "s", ["a"]) == set()


def test_engines_used_longest_ago_are_removed(tmp_path: Path) -> None:
    used = [Cache(str(tmp_path / "cache"), f"{ENGINE}{number:x}") for number in range(ENGINES + 2)]
    foreign = tmp_path / "cache/mine/photo.txt"
    foreign.parent.mkdir(parents=True)
    foreign.touch()
    for hour, each in enumerate(used):
        keep(each, tmp_path, "s", ["a"])
        each.tidy({"s": [content("a")]}.items(), tmp_path / "i")
        os.utime(tmp_path / f"cache/{ENGINE}{hour:x}/index.npz", (hour * 3600, hour * 3600))
    used[-1].tidy({"s": [content("a")]}.items(), tmp_path / "i")
    assert [bool(recalled(each, "s", ["a"])) for each in used] == [False] * 2 + [True] * ENGINES
    assert foreign.exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def turn_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def swap_a_table(path: Path) -> None:
    """A sound zip, whose tables do not agree."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["outcomes.csv"] = members["outcomes.csv"].partition(b"\n")[0] + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def no_file(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, turn_a_bit, empty, swap_a_table, no_file])
def test_a_damaged_file_is_left_out_and_named_in_the_log(
    cache: Cache, tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    keep(cache, tmp_path, "s", ["a", "b", "no_face"])
    keep(cache, tmp_path, "t", ["c"])
    (path,) = [path for path in files_in(tmp_path / "cache") if path.name == "s.zip"]
    damage(path)  # type: ignore[operator]
    assert recalled(cache, "s", ["a", "b", "no_face"]) == set()
    assert str(path) in caplog.text
    assert recalled(cache, "t", ["c"]) == {"c"}


@pytest.mark.parametrize("damage", [cut, turn_a_bit, empty, no_file])
def test_a_damaged_index_costs_nothing_else(cache: Cache, tmp_path: Path, damage: object) -> None:
    keep(cache, tmp_path, "s", ["a"])
    cache.tidy({"s": [content("a")]}.items(), tmp_path / "i")
    (index,) = [path for path in files_in(tmp_path / "cache") if path.name == "index.npz"]
    damage(index)  # type: ignore[operator]
    assert recalled(cache, "t", ["a"]) <= {"a"}
    assert recalled(cache, "s", ["a"]) == {"a"}


def test_a_pickle_in_the_cache_is_not_loaded(cache: Cache, tmp_path: Path) -> None:
    keep(cache, tmp_path, "s", ["a"])
    (path,) = files_in(tmp_path / "cache")
    np.save(tmp_path / "evil.npy", np.array([print], dtype=object))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["embeddings.npy"] = (tmp_path / "evil.npy").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert recalled(cache, "s", ["a"]) == set()


def test_an_address_that_cannot_be_written_is_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cache = Cache(str(tmp_path / "file"), ENGINE + "1")
    keep(cache, tmp_path, "s", ["a"])
    cache.tidy({"s": [content("a")]}.items(), tmp_path / "i")
    assert recalled(cache, "s", ["a"]) == set()
    assert "cannot be written" in caplog.text
    assert cache.trouble is not None
    assert str(tmp_path / "file") in cache.trouble
    assert "\n" not in cache.trouble


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket of a real S3 API on loopback, which the environment names."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "meanface")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    requests.post(f"http://{host}:{port}/moto-api/reset", timeout=60)  # of another test's objects
    boto3.client("s3").create_bucket(Bucket="photos")
    S3FileSystem.clear_instance_cache()  # nor its server
    yield "s3://photos"
    server.stop()


def objects() -> dict[str, list[str]]:
    """What lies in each bucket, by the last part of its name."""
    s3 = boto3.client("s3")
    return {
        bucket["Name"]: [
            one["Key"].rpartition("/")[2]
            for one in s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", [])
        ]
        for bucket in s3.list_buckets()["Buckets"]
    }


def test_a_bucket_keeps_what_a_folder_does(
    bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(f"{bucket}/cache", ENGINE + "3")
    keep(cache, tmp_path, "s", ["a", "two"])
    keep(cache, tmp_path, "t", ["no_face"])
    cache.tidy(
        {"s": [content("a"), content("two")], "t": [content("no_face")]}.items(), tmp_path / "index"
    )
    assert recalled(cache, "u", ["a", "two", "no_face", "new"]) == {"a", "two", "no_face"}
    keep(cache, tmp_path, "s", ["a", "two", "no_face"])
    cache.tidy(
        {"s": [content("a"), content("two"), content("no_face")]}.items(), tmp_path / "index"
    )
    assert objects() == {"photos": ["index.npz", "s.zip"]}

    key = f"cache/{ENGINE}3/s.zip"
    s3 = boto3.client("s3")
    whole = s3.get_object(Bucket="photos", Key=key)["Body"].read()
    s3.put_object(Bucket="photos", Key=key, Body=whole[:-30])
    assert recalled(cache, "s", ["a"]) == set()
    assert "s.zip cannot be read" in caplog.text


def test_an_index_that_cannot_be_written_whole_leaves_the_one_before(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(f"{bucket}/cache", ENGINE + "3")
    keep(cache, tmp_path, "s", ["a"])
    cache.tidy([("s", [content("a")])], tmp_path / "i")
    assert recalled(cache, "new", ["a"]) == {"a"}
    keep(cache, tmp_path, "t", ["b"])

    def breaks(target: IO[bytes], *_: object) -> None:
        target.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache_module, "write_joined", breaks)
    cache.tidy([("s", [content("a")]), ("t", [content("b")])], tmp_path / "i")
    assert cache.trouble is not None
    assert "index.npz cannot be written: No space left" in cache.trouble
    assert recalled(Cache(f"{bucket}/cache", ENGINE + "3"), "new", ["a"]) == {"a"}


def test_an_index_in_a_bucket_is_read_once(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(S3FileSystem, "default_block_size", 4 << 20)  # much less than the index
    cache = Cache(f"{bucket}/cache", ENGINE + "3")
    keep(cache, tmp_path, "s", ["a"])
    count = 2_000_000
    starts = np.arange(count, dtype=np.uint64)
    starts[-1] = int(content("a")[:16], 16)
    written = io.BytesIO()
    write_index(written, ["s"], count, [starts], [np.zeros(count, np.uint32)])
    key = f"cache/{ENGINE}3/index.npz"
    boto3.client("s3").put_object(Bucket="photos", Key=key, Body=written.getvalue())
    fetched = []
    fetch = S3File._fetch_range

    def counted(file: S3File, start: int, end: int) -> bytes:
        fetched.append(end - start)
        return bytes(fetch(file, start, end))

    monkeypatch.setattr(S3File, "_fetch_range", counted)
    assert recalled(cache, "new", ["a"]) == {"a"}
    assert sum(fetched) < 1.1 * len(written.getvalue())
    assert len(fetched) < 100


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), duckdb.OutOfMemoryException("full")]
)
def test_a_disk_that_is_full_is_the_trouble_of_the_cache(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    keep(cache, tmp_path, "s", ["a"])
    cache.tidy([("s", [content("a")])], tmp_path / "i")

    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(Scratch, "append", full)
    cache.tidy([("s", [content("a")])], tmp_path / "i")
    assert cache.trouble is not None
    assert f"index.npz cannot be made: {error.args[-1]}" in cache.trouble
    assert recalled(cache, "new", ["a"]) == {"a"}


def test_forgotten_contents_are_in_no_file_of_any_engine(bucket: str, tmp_path: Path) -> None:
    for address in (f"{bucket}/cache", str(tmp_path / "cache")):
        engines = [Cache(address, ENGINE + number) for number in "12"]
        for cache in engines:
            for name, photos in {"s": ["a", "b"], "t": ["c"], "late": ["a"]}.items():
                keep(cache, tmp_path, name, photos)
            cache.tidy(
                {"s": [content("a"), content("b")], "t": [content("c")]}.items(), tmp_path / "index"
            )
        forget(address, [content("a"), content("unknown")])
        for cache in engines:
            assert recalled(cache, "other", ["a", "b", "c"]) == {"c"}
            assert recalled(cache, "late", ["a"]) == set()
        assert len(cache.recall("t", [content("c")])) == 1
    files = files_in(tmp_path / "cache")
    assert [path.name for path in files] == ["index.npz", "t.zip"] * 2
    start = int(content("a")[:16], 16).to_bytes(8, "little")
    assert not any(start in path.read_bytes() for path in files)


def test_a_cache_that_is_not_there_has_nothing_to_forget(tmp_path: Path) -> None:
    forget(str(tmp_path / "none"), [content("a")])
    assert not (tmp_path / "none").exists()


def test_a_damaged_file_is_forgotten_as_a_whole(cache: Cache, tmp_path: Path) -> None:
    keep(cache, tmp_path, "s", ["a"])
    (path,) = files_in(tmp_path / "cache")
    cut(path)
    forget(str(tmp_path / "cache"), [content("b")])
    assert not path.exists()


def test_contents_that_cannot_be_forgotten_stop_the_run(cache: Cache, tmp_path: Path) -> None:
    keep(cache, tmp_path, "s", ["a"])
    (path,) = files_in(tmp_path / "cache")
    no_file(path)
    with pytest.raises(UserError, match="may still hold photos that `exclude` names"):
        forget(str(tmp_path / "cache"), [content("a")])


def test_a_bucket_that_is_not_there_is_a_warning_and_is_not_made(
    bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache("s3://mistyped/cache", ENGINE + "4")
    keep(cache, tmp_path, "s", ["a"])
    assert recalled(cache, "s", ["a"]) == set()
    assert "mistyped" in caplog.text
    assert objects() == {"photos": []}


def test_a_run_in_another_folder_reuses_what_a_bucket_keeps(
    bucket: str, tmp_path: Path, sample_photos: Path
) -> None:
    config = {"photos": sample_photos, "encoder": "stub", "shards": 2, "cache": f"{bucket}/cache"}
    runs = [snakemake(tmp_path / name, **config) for name in ("one", "other")]
    assert [run.code for run in runs] == [0, 0], runs[-1].output
    new = [json.loads((run.results / "summary.json").read_text())["newly_encoded"] for run in runs]
    assert new == [30, 0]
    same_bytes = [(run.results / "embeddings.npy").read_bytes() for run in runs]
    assert same_bytes[0] == same_bytes[1]
    assert not (runs[0].results / "cache").exists()
