"""How many shards a source has, and which of them a photo belongs to."""

from collections import Counter

import pytest

from meanface.shards.layout import layout, shard_of, shards_for

MB = 10**6


def test_up_to_256_shards_are_one_part_and_few_more_than_asked_for_many() -> None:
    assert [layout(shards) for shards in (1, 16, 256)] == [(1, 1), (1, 16), (1, 256)]
    assert [layout(shards) for shards in (257, 300, 512, 10_000)] == [
        (9, 29),
        (10, 30),
        (16, 32),
        (313, 32),
    ]
    for wanted in (*range(1, 3000, 7), *(1 << power for power in range(15))):
        parts, in_part = layout(wanted)
        assert wanted <= parts * in_part < wanted + parts
        assert in_part <= 256


@pytest.mark.parametrize(
    ("photos", "size", "shards"),
    [
        (0, 0, 4),
        (1_601, 21 * MB, 4),
        (13_233, 180 * MB, 16),  # 250x250 pixels
        (1_000, 3_000 * MB, 16),  # 12 megapixels
        (100_000, 1_360 * MB, 128),
        (10**9, 10**7 * MB, 16_384),
    ],
)
def test_a_shard_is_about_ten_seconds_of_encoding(photos: int, size: int, shards: int) -> None:
    assert shards_for(photos, size) == shards


def test_a_photos_shard_depends_on_its_path_alone() -> None:
    # The first 16 digits that `printf %s PATH | sha256sum` prints, modulo the number of shards.
    assert shard_of("lfw/a.jpg", 16) == 0xDB09B354528258E3 % 16
    assert shard_of("José 日本.jpg", 1000) == 0x628223E794386F62 % 1000
    filled = Counter(shard_of(f"{i}.jpg", 16) for i in range(16_000))
    assert len(filled) == 16
    assert max(filled.values()) < 1150  # five standard deviations above 1000
