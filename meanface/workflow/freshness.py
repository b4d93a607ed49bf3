"""Whose results these are, and whether what was made still is what is wanted.

Snakemake's own records can be missing (a new checkout, results in storage, a killed controller) or
ignored (`--rerun-triggers mtime`). So every result that others are made of says itself what it was
made of, as `made_of` in its JSON file. A file that was made of something else is removed, and
Snakemake makes it again whatever it looks at.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from meanface.errors import UserError
from meanface.files.json_files import read_json


def check_same_photos(
    known: Iterable[str], given: Iterable[str], *, sample: str, results: Path | str
) -> None:
    """Raise UserError where a run would replace the results of other photos.

    `known` are the sources whose results there are, `given` those of this run, each a path or URL.
    A run may add sources, and may replace the results of the bundled `sample`.
    """
    known, given = list(known), list(given)
    others = [source for source in known if source not in given and source != sample]
    if others:
        own = [source for source in known if source != sample]
        raise UserError(
            f"{results} holds the results of {', '.join(others)}, which a run of "
            f"{', '.join(given)} would replace; to continue with those, use `--config photos="
            f"{_as_config(own)}`, name another folder by --directory, or add replace=true"
        )


def _as_config(sources: list[str]) -> str:
    return sources[0] if len(sources) == 1 else f"'[{', '.join(sources)}]'"


def is_outdated(file: Path, wanted: Mapping[str, Any]) -> bool:
    """Tell whether the JSON object in `file` says that it was made of something else than `wanted`.

    A file that cannot be read is outdated; one that is not there is not.
    """
    if not file.exists():
        return False
    try:
        return bool(read_json(file).get("made_of") != dict(wanted))
    except (OSError, ValueError, AttributeError):
        return True
