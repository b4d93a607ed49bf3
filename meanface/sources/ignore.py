"""Ignore files and folders of a source that are no photos: trash, thumbnails, hidden files."""

import re
from collections.abc import Sequence
from functools import lru_cache

from pathspec import GitIgnoreSpec

from meanface.errors import UserError

ALWAYS = (
    # Hidden: .Trash-1000, .thumbnails, .@__thumb, .picasaoriginals, .AppleDouble, ._* of macOS
    ".[!.]*",
    # Synology
    *("@eaDir/", r"\#recycle/", r"\#snapshot/", "@tmp/"),
    # QNAP
    *("@Recycle/", "@Recently-Snapshot/"),
    # Buffalo, ReadyNAS, NetApp
    *("trashbox/", "Recycle Bin/", "~snapshot/"),
    # Windows
    *("$RECYCLE.BIN/", "$Recycle.Bin/", "RECYCLER/", "Recycled/", "System Volume Information/"),
    "DfsrPrivate/",
    # Linux
    "lost+found/",
    # macOS
    *("__MACOSX/", "Network Trash Folder/", "Temporary Items/", "iPod Photo Cache/"),
    # Previews and trash of Apple Photos and iPhoto, Lightroom and Nextcloud. A pattern with a slash
    # inside matches in the top folder only, unless it begins with **.
    *("**/*.photoslibrary/resources/", "**/*.photoslibrary/private/"),
    *("**/*.photoslibrary/Thumbnails/", "**/*.photolibrary/Thumbnails/"),
    *("**/*.photolibrary/Previews/", "*.lrdata/"),
    *("**/appdata_*/preview/", "files_trashbin/", "files_versions/"),
)


class Ignore:
    """The patterns ALWAYS and the patterns of the configuration, in gitignore's syntax.

    The last pattern that matches counts, so `!.hidden/` includes a folder that ALWAYS ignores. As
    in git, nothing below an ignored folder can be included again. Raises UserError for an invalid
    pattern.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        every = [*ALWAYS, *patterns]
        try:
            self._spec = GitIgnoreSpec.from_lines(every)
            self._of_files = GitIgnoreSpec.from_lines(
                pattern for pattern in every if not pattern.rstrip().endswith("/")
            )
        except (ValueError, re.error) as error:
            raise UserError(f"config: ignore: {error}; write patterns as in .gitignore") from error
        # The other patterns of ALWAYS are of folders.
        self._only_hidden_files = all(pattern.rstrip().endswith("/") for pattern in patterns)
        self._takes_in_again = any(pattern.lstrip().startswith("!") for pattern in patterns)
        self._folder_matches = lru_cache(maxsize=1 << 12)(self.matches)

    def matches(self, path: str) -> bool:
        """Tell whether a path outside ignored folders is ignored. A folder's path ends with '/'."""
        is_file = not path.endswith("/") and not self._takes_in_again
        if is_file and self._only_hidden_files and path[path.rfind("/") + 1] != ".":
            return False  # a third of the time that a large folder takes
        spec = self._of_files if is_file else self._spec  # 1 µs instead of 12 µs
        return spec.match_file(path.replace("\n", " "))  # the patterns' * stops at a line end

    def covers(self, path: str) -> bool:
        """Tell whether a file, or a folder above the file, is ignored."""
        if not self._takes_in_again:
            return self._spec.match_file(path.replace("\n", " "))
        ends = (at + 1 for at, letter in enumerate(path) if letter == "/")
        return any(self._folder_matches(path[:end]) for end in ends) or self.matches(path)
