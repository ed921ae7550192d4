"""The changes of champion that a person may ask for."""

CHANGES = ("rollback", "pin", "unpin", "force", "authorise")
