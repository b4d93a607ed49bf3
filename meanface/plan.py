"""The plan stage: which shard encodes which content. Identical photos are encoded once."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from meanface.files import replacing
from meanface.shards import read_manifest


def plan(manifests: Sequence[Path], contents: Sequence[Path], digests: Sequence[Path]) -> int:
    """Write for each shard the contents that it is to encode; give how many there are together.

    `contents[i]` gets their sha256 (hexadecimal), sorted, a line each: those of manifests[i] that
    are in no manifest before. `digests[i]` gets the sha256 of that file, by which a shard that is
    to be encoded anew is told from one that is not. A photo that was too large to be read has no
    known content and is in none. Takes 130 bytes of memory per content.

    Raises AccountingError where a manifest is damaged.
    """
    planned: set[bytes] = set()
    for manifest, target, digest in zip(manifests, contents, digests, strict=True):
        found = {bytes.fromhex(row.sha256) for row in read_manifest(manifest) if row.sha256}
        found -= planned
        planned |= found
        text = "".join(f"{content.hex()}\n" for content in sorted(found)).encode()
        with replacing(target) as part:
            part.write_bytes(text)
        with replacing(digest) as part:
            part.write_text(hashlib.sha256(text).hexdigest() + "\n")
    return len(planned)
