"""Into how many parts and shards a source is split, and which of them a photo belongs to."""

import hashlib

# Shards that one part may hold where there is no other: the time in which Snakemake looks at them
# grows with their square.
_IN_ONE = 256
# Snakemake keeps its records of 128 files in memory, and reads the others six times.
_IN_PART = 32
_SHARD_SIZE = 8 << 20  # bytes: on one core a job of some ten seconds for photos of 15 kB


def shards_for(size: int) -> int:
    """Give the number of shards for photos of `size` bytes together: a power of two, 4 to 16384.

    A shard holds about 8 MiB, so that growth by a few per cent rarely changes the number.
    """
    wanted = -(-size // _SHARD_SIZE)
    return min(max(1 << (wanted - 1).bit_length(), 4), 16384)


def layout(shards: int) -> tuple[int, int]:
    """Give the number of parts of a source, and of the shards in each, for `shards` in all.

    Up to 256 are one part; beyond, there are at most 32 in each, and there may be a few more than
    `shards`, so that all parts are alike.
    """
    parts = 1 if shards <= _IN_ONE else -(-shards // _IN_PART)
    return parts, -(-shards // parts)


def shard_of(path: str, shards: int, parts: int = 1) -> int:
    """Give the number of the shard (0 to shards - 1) of a photo: it depends on its path alone.

    Where there are several `parts`, it is that within the photo's part; whose number is
    shard_of(path, parts).
    """
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") // parts % shards
