"""What a result was made of, so that nobody takes it for a result of other faces."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from meanface.files.digest import file_digest


def made_of(embeddings: Path, *columns: Iterable[str]) -> str:
    """Give a sha256 (hexadecimal) of a file of embeddings and of columns of text."""
    digest = hashlib.sha256(file_digest(embeddings).encode())
    for column in columns:
        digest.update(b"\0")  # no path and no name has this character
        for text in column:
            digest.update(text.encode() + b"\0")
    return digest.hexdigest()
