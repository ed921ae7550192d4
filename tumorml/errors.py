"""Exceptions for problems that a user can cause and solve."""


class TumorMLError(Exception):
    """A problem that a user can solve.

    The message names the problem, its location and the remedy. Every other exception is a bug and
    is not caught.
    """


class DropRefusedError(TumorMLError):
    """A drop cannot be ingested at all."""


class DivergedTrainingError(TumorMLError):
    """A training failed because its loss is not finite."""


class TransientError(TumorMLError):
    """A transient failure; retrying may succeed."""


class TooLittleMemoryError(TransientError):
    """A recipe needs more memory than is free at the moment."""


class StoreUnreachableError(TransientError):
    """The object store did not answer within the configured patience."""


class LockLostError(TransientError):
    """The connection that held an advisory lock is closed; another process may hold the lock."""


class MissingObjectError(TumorMLError, FileNotFoundError):
    """An object that a row refers to is not in the object store."""


class StoreRefusedError(TumorMLError, PermissionError):
    """The object store denied the request to these credentials."""
