"""How many parts and shards a source has, and which of them a photo belongs to."""

import hashlib

# Shards of a source with a single part. Snakemake's time for one job grows with the square of the
# number of its files.
_IN_ONE = 256
# Shards of a part, where there are several. Snakemake caches its records of 128 files, and reads
# the records of all others six times.
_IN_PART = 32
_SHARD_SIZE = 8 << 20  # bytes: about ten seconds on one core for photos of 15 kB


def shards_for(size: int) -> int:
    """Give the number of shards for photos of `size` bytes in total: a power of two, 4 to 16384.

    A shard holds about 8 MiB. A source that grows by a few per cent rarely changes the number.
    """
    wanted = -(-size // _SHARD_SIZE)
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
