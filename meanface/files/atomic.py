"""Files and folders that appear whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`, which replaces `target` when the block succeeds.

    The block writes a file or makes a folder there. When the block raises, what it wrote is removed
    and `target` stays as it was. A folder that is there already goes just before the new one comes.
    """
    part = target.with_name(target.name + ".part")
    remove(part)
    try:
        yield part
        if target.is_dir() or part.is_dir():
            remove(target)
        part.replace(target)
    finally:
        remove(part)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it. A missing path is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
