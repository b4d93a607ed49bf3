"""The digest of a file's content."""

import hashlib
from pathlib import Path


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file's content in lower-case hex. Raises OSError.

    The digest of a folder is the digest of the lines "digest name" that coreutils prints for its
    files. Hidden files do not count.
    """
    if path.is_dir():
        files = sorted(path.glob("[!.]*"))
        lines = (f"{file_digest(file, algorithm)}  {file.name}\n" for file in files)
        return hashlib.new(algorithm, "".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
