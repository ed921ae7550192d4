"""The exceptions that a user can cause."""


class TumorMLError(Exception):
    """Something a user can put right: the message says what was wrong, where, and what to do.

    Every other exception is a bug and is left to crash.
    """


class BrokenTrainingError(TumorMLError):
    """A recipe's numbers do not work: its loss is not finite."""


class TooLittleMemoryError(TumorMLError):
    """A recipe wants more memory than is free; another try, when others have left, may have it."""


class MissingObjectError(TumorMLError, FileNotFoundError):
    """An object that a row points to is not in the object store."""
