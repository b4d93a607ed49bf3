"""Paths that begin at the user's home folder."""

import os


def from_home(path: str) -> str:
    """Replace `~` or `~user` at the beginning of a path by a home folder.

    `./~`, and `~name` where no user has this name, stay: both are names of folders.
    """
    return os.path.expanduser(path)  # noqa: PTH111  # Path.expanduser raises for both
