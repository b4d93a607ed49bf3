"""Accounting: every photo is either encoded or failed. No photo is lost or counted twice."""

from collections import Counter
from collections.abc import Callable, Iterable

from meanface.errors import AccountingError
from meanface.wording import number_of


def check_accounts(
    where: str,
    photos: Iterable[str],
    encoded: Iterable[str],
    failed: Iterable[str],
    name: Callable[[str], str] = str,
) -> None:
    """Check that each of `photos` is in `encoded` or in `failed`, and nothing else is.

    Photos are given by their sha256. `encoded` may repeat a photo (a row per face). Raises
    AccountingError, which names `where` and a photo; `name` translates the sha256 for people.
    """
    accounted = Counter(set(encoded))
    accounted.update(failed)
    expected = Counter(photos)
    if accounted == expected:
        return
    wrong, what = next(
        (path, what)
        for difference, what in (
            (expected - accounted, "is neither encoded nor failed"),
            (accounted - expected, "is counted twice or belongs to no photo"),
        )
        for path in sorted(difference)
    )
    raise AccountingError(
        f"{where}: {number_of(sum(expected.values()), 'photo')}, but"
        f" {sum(accounted.values())} accounted for; {name(wrong)!r} {what}"
    )
