"""The checksum that a file must have."""

import re
from dataclasses import dataclass
from pathlib import Path

from meanface.errors import UserError
from meanface.files.digest import file_digest

HEX_DIGITS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class Checksum:
    """The digest that a file's content must have. The digest is stored in lower case.

    Raises UserError for an algorithm other than sha256 and md5, and for a malformed digest.
    """

    algorithm: str
    digest: str

    def __post_init__(self) -> None:
        length = HEX_DIGITS.get(self.algorithm)
        if length is None:
            raise UserError(f"checksum: {self.algorithm!r} is unknown, give sha256 or md5")
        if not re.fullmatch(f"[0-9a-fA-F]{{{length}}}", self.digest):
            raise UserError(f"{self.algorithm}: {self.digest!r} is not {length} hexadecimal digits")
        object.__setattr__(self, "digest", self.digest.lower())


def verify(path: Path, checksum: Checksum) -> None:
    """Raise UserError unless the content of `path` can be read and has this checksum."""
    try:
        found = file_digest(path, checksum.algorithm)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if found != checksum.digest:
        raise UserError(
            f"{path}: its {checksum.algorithm} is {found}, expected {checksum.digest}; "
            "replace the file or correct the checksum"
        )
