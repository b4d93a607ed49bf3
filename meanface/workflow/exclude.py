"""What jobs and runs do for the key `exclude`, beside leaving photos out of the shards."""

from collections.abc import Collection
from pathlib import Path

from meanface.errors import UserError
from meanface.files.atomic import remove
from meanface.shards.exclude import Exclusion, read_list, state_of_list
from meanface.workflow.integrity import ALTERED, records_in

CACHE = "cache"
"""The default cache, a folder of the results. It may be of a run with another cache."""


_LAYOUT = ("shards", "contents", "parts", "sources", "excluded")


def state_of_exclude(path: str | None, *, must_exist: bool) -> list[str] | None:
    """Give the file `exclude` and its sha256, as plain values for `params`; None without the key.

    Where the file need not exist, its sha256 may be "". Raises UserError: it cannot be read.
    """
    if path is None:
        return None
    exists = must_exist or Path(path).exists()
    return [path, state_of_list(Path(path)) if exists else ""]


def read_exclusion(state: list[str] | None, prefix: str) -> Exclusion | None:
    """Give the photos to exclude from a source whose paths begin with `prefix`.

    `state` is from state_of_exclude. Raises UserError where the file is another one by now.
    """
    if state is None:
        return None
    path, sha256 = Path(state[0]), state[1]
    if state_of_list(path) != sha256:
        raise UserError(f"config: exclude: {path} changed after the run began; run again")
    return Exclusion(read_list(path), prefixed=bool(prefix))


def forget_contents(exclusion: Exclusion, cache: str | None, results: Path) -> None:
    """Remove excluded contents from the `cache` and from the default cache. Raises UserError."""
    if exclusion.contents:
        from meanface.results.cache import forget  # takes longer than the other imports together

        for address in {cache or "", str(results / CACHE)} - {""}:
            forget(address, exclusion.contents)


def remove_left_over(results: Path, records: Path, made: Collection[str]) -> None:
    """Remove what may show excluded photos: downloads, and files older than the last merge.

    `made` are the files that the run needs. Other files that are younger than the summary are made
    of its results, and stay. The models show no photo. Logs go with their files.
    """
    summary = results / "summary.json"
    if str(summary) not in made or not summary.exists():
        return
    merged = summary.stat().st_mtime_ns

    def is_left_over(file: Path) -> bool:
        is_model = file.is_relative_to(results / "models")
        return not is_model and file.exists() and file.stat().st_mtime_ns < merged

    left = [*filter(is_left_over, [results / "provenance.html", *results.glob(ALTERED)])]
    for record, files in records_in(records):
        if old := [*filter(is_left_over, map(Path, files.keys() - made))]:
            left += [*old, record, record.with_suffix(".log")]
    # A run with more shards left files that no record names any more.
    of_layouts = (file for folder in _LAYOUT for file in results.glob(f"{folder}/*"))
    left += [file for file in of_layouts if str(file) not in made and is_left_over(file)]
    for pattern in ("download/*/*", "*.part", "*/*.part"):
        left += results.glob(pattern)
    for file in left:
        remove(file)


def remove_receipt(results: Path) -> None:
    """Remove the receipt of an earlier run, for a run without the key `exclude`."""
    for file in (results / "excluded.csv", *results.glob("excluded/*.json")):
        file.unlink(missing_ok=True)
