"""How messages and the report put numbers into words."""


def number_of(count: int, what: str, more: str | None = None) -> str:
    """Give a number with its noun: "1 photo", "2,000 photos". `more` is an irregular plural."""
    return f"{count:,} {what if count == 1 else more or what + 's'}"


def of_all(some: int, count: int, what: str, more: str | None = None) -> str:
    """Give how many of all: "3 of 1,000 photos", or "1,000 photos" for all of them."""
    return f"{some:,} of " * (some != count) + number_of(count, what, more)
