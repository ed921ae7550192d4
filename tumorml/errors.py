"""The one exception that a user can cause."""


class TumorMLError(Exception):
    """Something a user can put right: the message says what was wrong, where, and what to do.

    Every other exception is a bug and is left to crash.
    """
