"""The numbers of a run, against sums made by hand."""

from dataclasses import replace

from meanface.results.merge import Counts
from meanface.results.shard_report import ShardReport
from meanface.results.summary import summarise

COUNTS = Counts(
    photos=9,
    encoded=7,
    failed=2,
    faces=8,
    duplicates=1,
    failed_by_reason={"no_face": 2},
    faces_by_detector={"hog@0": 8},
)
EARLIER = ShardReport(
    contents=95,
    encoded=94,
    failed=1,
    faces=95,
    reused=1,
    newly_encoded=94,
    seconds_encoding=24.5,
    seconds=2.0004,
    run="earlier",
    cache_trouble="the bucket was not there, in the run before",
    sha256={},
    fingerprint="0",
)
NOW = ShardReport(
    contents=7,
    encoded=6,
    failed=1,
    faces=6,
    reused=1,
    newly_encoded=6,
    seconds_encoding=0.5,
    seconds=1.25,
    run="now",
    cache_trouble=None,
    sha256={},
    fingerprint="0",
)
SOURCES = [{"photos": 6, "directory": 2}, {"photos": 3, "directory": 1, "link": 4}]


def test_the_numbers_of_a_run_and_of_the_shards_that_an_earlier_run_encoded() -> None:
    numbers = summarise(COUNTS, [EARLIER, NOW], SOURCES, run="now", cache_trouble=None)
    assert numbers == {
        "photos": 9,
        "encoded": 7,
        "failed": 2,
        "faces": 8,
        "duplicates": 1,
        "failed_by_reason": {"no_face": 2},
        "faces_by_detector": {"hog@0": 8},
        "run": "now",
        "newly_encoded": 6,
        "reused": 96,
        "cache_trouble": None,
        "skipped": {"directory": 3, "link": 4},
        "encode_seconds": 3.25,
        "photos_per_second": 4.0,
    }


def test_the_first_trouble_with_the_cache_in_this_run_is_told() -> None:
    late = replace(NOW, cache_trouble="a file was damaged")
    for shards, in_merge, told in (
        ([EARLIER, NOW], "no index", "no index"),
        ([EARLIER, NOW, late], "no index", "a file was damaged"),
    ):
        numbers = summarise(COUNTS, shards, SOURCES, run="now", cache_trouble=in_merge)
        assert numbers["cache_trouble"] == told


def test_a_run_whose_contents_all_came_from_the_cache_has_no_speed() -> None:
    cached = replace(NOW, newly_encoded=0, reused=7, seconds_encoding=0.0)
    numbers = summarise(COUNTS, [cached], SOURCES, run="now", cache_trouble=None)
    assert numbers["photos_per_second"] is None
    assert (numbers["newly_encoded"], numbers["reused"]) == (0, 7)


def test_few_photos_have_no_speed() -> None:
    """Most of their time is the engine's start."""
    for new, has_speed in ((1, False), (99, False), (100, True)):
        shard = replace(NOW, contents=new, newly_encoded=new, reused=0, seconds_encoding=2.0)
        numbers = summarise(COUNTS, [shard], SOURCES, run="now", cache_trouble=None)
        assert numbers["photos_per_second"] == (new / 2 if has_speed else None)
