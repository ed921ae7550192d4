"""The exceptions that a user can cause."""


class TumorMLError(Exception):
    """Something a user can put right: the message says what was wrong, where, and what to do.

    Every other exception is a bug and is left to crash.
    """


class BrokenTrainingError(TumorMLError):
    """A recipe's numbers do not work: its loss is not finite."""


class MayPassError(TumorMLError):
    """What another try, a while later, may not meet again."""


class TooLittleMemoryError(MayPassError):
    """A recipe wants more memory than is free; another try, when others have left, may have it."""


class StoreUnreachableError(MayPassError):
    """The object store did not answer for as long as the settings have patience."""


class LockLostError(MayPassError):
    """The connection that held a lock is gone, and another process may hold it by now."""


class MissingObjectError(TumorMLError, FileNotFoundError):
    """An object that a row points to is not in the object store."""


class StoreRefusedError(TumorMLError, PermissionError):
    """The object store answers, and does not let these credentials do what was asked."""
