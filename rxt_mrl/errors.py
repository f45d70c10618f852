"""Errors that a user can mend: the command line prints them as one line and exits with 2."""

from __future__ import annotations


class UserError(ValueError):
    """A wrong file, key, value or name. The message is one line: what, its value, what is allowed."""


class MissingColumnError(UserError):
    """A reward asks for a column that the data has not."""
