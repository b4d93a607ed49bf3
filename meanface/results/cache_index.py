"""The index of the cache: which file holds which contents."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Index:
    """Which file has which contents.

    `names` (n,) are those of the files, the last used first. `starts` uint64 (k,), sorted,
    are the first 64 bits of the contents. `where` uint32 (k,) tells the file of each.
    """

    names: NDArray[np.str_]
    starts: NDArray[np.uint64]
    where: NDArray[np.uint32]

    @classmethod
    def of(cls, shards: Iterable[tuple[str, Sequence[str]]]) -> "Index":
        """Give the index of `shards`: the name of each, and its contents (sha256, hexadecimal)."""
        names: list[str] = []
        starts = [np.empty(0, np.uint64)]
        for name, contents in shards:
            names.append(name)
            starts.append(np.array([_start(content) for content in contents], np.uint64))
        where = np.repeat(np.arange(len(names)), [len(some) for some in starts[1:]])
        return cls._sorted(names, np.concatenate(starts), where)

    @classmethod
    def _sorted(
        cls, names: Sequence[str], starts: NDArray[np.uint64], where: NDArray[np.int64]
    ) -> "Index":
        order = np.argsort(starts, kind="stable")
        return cls(np.array(names, "U"), starts[order], where[order].astype(np.uint32))

    def checked(self) -> "Index":
        """Give this index. Raises ValueError where the index is not consistent."""
        if len(self.starts) != len(self.where) or (self.where >= len(self.names)).any():
            raise ValueError("its arrays do not belong together")
        return self

    def holders(self, contents: Collection[str]) -> set[str]:
        """Give the names of files with contents that share their first 64 bits with these."""
        wanted = np.array([_start(content) for content in contents], np.uint64)
        low, high = (np.searchsorted(self.starts, wanted, side) for side in ("left", "right"))
        return {
            str(name)
            for first, last in zip(low, high, strict=True)
            for name in self.names[self.where[first:last]]
        }

    def extended(self, earlier: "Index", most: int) -> "Index":
        """Give this index with files of an earlier index, up to `most` contents in total.

        Files whose contents are all in this index are left out.
        """
        own = set(self.names.tolist())
        sizes = np.bincount(earlier.where, minlength=len(earlier.names))
        elsewhere = ~np.isin(earlier.starts, self.starts)
        others = np.bincount(earlier.where[elsewhere], minlength=len(earlier.names))
        room = most - len(self.starts)
        kept = []
        for number, name in enumerate(earlier.names.tolist()):
            if name in own or not others[number]:
                continue
            room -= sizes[number]
            if room < 0:
                break
            kept.append(number)
        new_number = np.full(len(earlier.names), -1)
        new_number[kept] = len(self.names) + np.arange(len(kept))
        where = new_number[earlier.where]
        is_kept = where >= 0
        return self._sorted(
            [*self.names.tolist(), *earlier.names[kept].tolist()],
            np.concatenate([self.starts, earlier.starts[is_kept]]),
            np.concatenate([self.where.astype(np.int64), where[is_kept]]),
        )

    def only(self, names: Collection[str]) -> "Index":
        """Give this index without the files that are not among `names`."""
        is_kept = np.isin(self.names, list(names))
        rows = is_kept[self.where]
        new_number = np.cumsum(is_kept) - 1
        return Index(
            self.names[is_kept], self.starts[rows], new_number[self.where[rows]].astype(np.uint32)
        )


def _start(content: str) -> int:
    """The first 64 bits of a content (sha256, hexadecimal)."""
    return int(content[:16], 16)
