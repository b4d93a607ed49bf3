"""Files and folders that appear whole or not at all."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path, *, shared: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `target`, which replaces `target` when the block succeeds.

    The block writes a file or makes a folder there. When the block raises, what it wrote is removed
    and `target` stays as it was. An existing folder is removed just before the rename.

    The temporary path is `<target>.part`, so that the next job removes what a killed one left. With
    `shared`, other processes may write `target` at the same time, and the name holds a random part.
    """
    own = f".{secrets.token_hex(8)}" if shared else ""
    part = target.with_name(f"{target.name}{own}.part")
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
