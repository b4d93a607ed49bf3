"""The errors that a user is meant to read."""


class UserError(Exception):
    """Something the user can put right: one line that names the file or key and says what to do."""


class AccountingError(Exception):
    """A photo was lost or counted twice: the run must not give a result."""
