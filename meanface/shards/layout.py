"""How many parts and shards a source has, and which of them a photo belongs to."""

import hashlib
import math

# Shards of a source with a single part. Snakemake's time for one job grows with the square of the
# number of its files.
_IN_ONE = 256
# Shards of a part, where there are several. Snakemake caches its records of 128 files, and reads
# the records of all others six times.
_IN_PART = 32
# Starting a job takes 0.6 s, so a shard should take 10 s. Encoding a photo of 250x250 pixels takes
# 8 ms on one core, a photo of 12 megapixels and 3 MB 0.1 s (docs/performance.md).
_SHARD_SECONDS = 10
_SECONDS_PER_PHOTO = 0.008
_SECONDS_PER_BYTE = 30e-9


def shards_for(photos: int, size: int) -> int:
    """Give the number of shards for photos of `size` bytes in total: a power of two, 4 to 16384.

    Encoding a shard takes about ten seconds. A source that grows by a few per cent rarely changes
    the number.
    """
    seconds = photos * _SECONDS_PER_PHOTO + size * _SECONDS_PER_BYTE
    wanted = math.ceil(seconds / _SHARD_SECONDS)
    return min(max(1 << (wanted - 1).bit_length(), 4), 16384)


def layout(shards: int) -> tuple[int, int]:
    """Give the number of parts of a source and the number of shards in each part.

    Up to 256 `shards` are one part. More are parts of at most 32 shards. All parts have the same
    number of shards, so that the total may be a few more than `shards`.
    """
    parts = 1 if shards <= _IN_ONE else -(-shards // _IN_PART)
    return parts, -(-shards // parts)


def shard_of(path: str, shards: int, parts: int = 1) -> int:
    """Give the number of a photo's shard, 0 to shards - 1. It depends on the path alone.

    With several `parts`, shards are numbered within a part. The part of a photo is
    shard_of(path, parts).
    """
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") // parts % shards
