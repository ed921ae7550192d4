"""Groups: scans of one patient or one picture, which stay on one side of every split."""
