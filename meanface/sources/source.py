"""Where the photos of a run are, from the configuration."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from meanface.errors import UserError
from meanface.files.home import from_home
from meanface.sources.checksum import Checksum
from meanface.sources.folder import Folder
from meanface.sources.kinds import check_place


@dataclass(frozen=True)
class Source:
    """A source of photos: `urls` to download from, or a `path`.

    The path names an archive, a folder or a pattern in a folder, see Folder. `name` is unique in a
    run. The paths of the source's photos begin with `prefix`.
    """

    name: str
    prefix: str
    urls: tuple[str, ...]
    path: Path | None
    checksum: Checksum | None

    @property
    def is_folder(self) -> bool:
        """Whether the path is a folder, or a pattern in one."""
        return self.path is not None and Folder.of(self.path) is not None

    @property
    def file_name(self) -> str:
        """The file name of the archive, folder or URL; unusual characters of a URL become `_`."""
        if self.path:
            return self.path.name
        name = PurePosixPath(unquote(urlsplit(self.urls[0]).path)).name
        return re.sub(r"[^\w. -]", "_", name).lstrip(".") or "photos"


def sources_of(
    config: Mapping[str, Any], folders: Sequence[Path], *, must_exist: bool = True
) -> list[Source]:
    """Give the sources of the photos; a relative path is looked up in `folders`, in order.

    The first of `folders` is the working directory of the run. Each of several sources has a name:
    `name`, or else the file name without its ending.

    Raises UserError for
    * a missing path, if paths `must_exist`,
    * an archive with braces in its path,
    * a folder that contains the results,
    * a URL without a checksum, or two checksums,
    * two sources of one name.
    """
    photos = config["photos"]
    if isinstance(photos, str):
        return [_source(config, "photos", "", folders, must_exist)]
    for key in ("mirrors", "sha256", "md5"):
        if config[key]:
            raise UserError(f"config: {key}: write it beside each of the photos, not for the list")
    sources: dict[str, Source] = {}
    for part in photos:
        given: dict[str, Any] = {"mirrors": [], "sha256": None, "md5": None}
        given |= {"photos": part} if isinstance(part, str) else part
        name = given.get("name") or _name_of(given["photos"])
        # Names of sources become names of files. macOS does not tell names apart by case.
        if name.lower() in map(str.lower, sources):
            raise UserError(
                f"config: photos: two are called {name!r}; give one of them a name, "
                f"such as {{photos: {given['photos']}, name: {name}2}}"
            )
        sources[name] = _source(given, name, f"{name}/", folders, must_exist)
    return list(sources.values())


def check_sources(sources: Sequence[Source], *, ignore: Sequence[str] = (), max_bytes: int) -> None:
    """Check the local sources before a run starts. Raises UserError, see check_place."""
    for source in sources:
        if source.path:
            check_place(source.path, ignore, max_bytes)


def _name_of(photos: str) -> str:
    """Name an archive or folder without its endings; letters, digits, _ and - only.

    A pattern has the name of its folder.
    """
    path = PurePosixPath(unquote(urlsplit(photos).path))
    while re.search(r"[*?\[]", path.name):
        path = path.parent
    stem = path.name.partition(".")[0]
    return re.sub("[^A-Za-z0-9_-]+", "_", stem) or "photos"


def _source(
    config: Mapping[str, Any], name: str, prefix: str, folders: Sequence[Path], must_exist: bool
) -> Source:
    photos = config["photos"]
    given = [
        Checksum(kind, str(config[kind]).lower()) for kind in ("sha256", "md5") if config[kind]
    ]
    if len(given) > 1:
        raise UserError("config: sha256 and md5 are both given; write one of them")
    checksum = given[0] if given else None
    if "://" in photos:
        if not photos.startswith(("http://", "https://")):
            raise UserError(f"config: photos: {photos!r}; {_instead_of_url(photos)}")
        try:
            urlsplit(photos)
        except ValueError as error:
            raise UserError(f"config: photos: {photos!r} will not do: {error}") from error
        if checksum is None:
            raise UserError(
                f"config: sha256: missing for the URL {photos}; write the archive's sha256 or md5"
            )
        return Source(name, prefix, (photos, *config["mirrors"]), None, checksum)
    path = _found(photos, folders)
    if path is None and must_exist:
        raise UserError(
            f"config: photos: no such file or folder: {photos!r}{_hint(photos, folders[0])}"
        )
    if path and Folder.of(path) and checksum:
        raise UserError(f"config: {checksum.algorithm}: a folder has none; write null")
    return Source(name, prefix, (), path or Path(photos), checksum)


def _found(photos: str, folders: Sequence[Path]) -> Path | None:
    """Look a path up in the folders; None if it is missing. UserError for an unusable path."""
    try:
        paths = [folder / from_home(photos) for folder in folders]
        path = next((path for path in paths if path.exists() or Folder.of(path)), None)
        results = (folders[0] / "results").resolve()
        if path and path.resolve().is_relative_to(results):
            raise UserError(f"config: photos: {path} is below {results}; move it out of there")
        if path and (folder := Folder.of(path)):
            _check_folder(folder, results)
        elif path and re.search("[{}]", str(path)):
            raise UserError(f"config: photos: rename {path}: braces are Snakemake's wildcards")
    except (OSError, ValueError) as error:  # such as a path too long
        raise UserError(f"config: photos: {photos!r} will not do: {error}") from error
    return path


def _check_folder(folder: Folder, results: Path) -> None:
    if "**" in folder.pattern:
        raise UserError(
            f"config: photos: leave /** out of {folder.pattern!r}: folders are read with all below"
        )
    path = folder.path.resolve()
    if results == path or results.is_relative_to(path):
        inside = f"{results.relative_to(path).as_posix()}/"
        if inside == "./" or folder.takes(inside):
            raise UserError(
                f"config: photos: results go into {folder.path}; name another by --directory"
            )


def _instead_of_url(url: str) -> str:
    """Say what to write instead of a URL of another protocol."""
    if url.startswith("file://"):
        return f"write the path, {unquote(url.partition('://')[2])}"
    return "write a URL with http:// or https://"


def _hint(photos: str, start: Path) -> str:
    """Suggest what to write instead of a missing path; "" without a suggestion."""
    if windows := re.match(r"([A-Za-z]):[\\/]*", photos):
        rest = photos[windows.end() :].replace("\\", "/")
        return f"; a Windows path is /mnt/{windows[1].lower()}/{rest} in WSL"
    if photos.startswith(("\\\\", "//")):
        return "; mount the Windows share, and write the path that it has here"
    if photos.startswith("["):
        return "; several are a list, not a text: photos='[one, other]' in single quotes only"
    if "," in photos:
        return f"; several are a list: photos='[{photos}]'"
    if not photos.startswith(("/", "~")):
        return f"; a relative path starts at {start}, where results/ is"
    return ""
