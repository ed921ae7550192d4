"""Names of the changes of champion by hand."""

CHANGES = ("rollback", "pin", "unpin", "force", "authorise")
