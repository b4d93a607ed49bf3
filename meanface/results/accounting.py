"""The failure accounting: every photo is either encoded or failed, never lost, never both."""

from collections import Counter
from collections.abc import Callable, Iterable

from meanface.errors import AccountingError


def check_accounts(
    where: str,
    photos: Iterable[str],
    encoded: Iterable[str],
    failed: Iterable[str],
    name: Callable[[str], str] = str,
) -> None:
    """Check that `photos` are exactly the `encoded` and the `failed` together.

    Photos go by their sha256; `encoded` may have one more than once (a row per face). Raises
    AccountingError that names `where` and a photo, called as `name` calls it.
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
        f"{where}: {sum(expected.values())} photos, but {sum(accounted.values())} accounted for; "
        f"{name(wrong)!r} {what}"
    )
