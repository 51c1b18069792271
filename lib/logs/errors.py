"""What is said of a file of the reader's own that cannot be used."""


class InputError(ValueError):
    """A file that cannot be used: the message names it, the place, the value, what was expected."""


class LogError(InputError):
    """A log or features file that cannot be used: names file, column and row."""


class TableError(InputError):
    """A table that cannot be used: names file, column and row (the first row is 0)."""
