"""Model versions: files, calibration, prediction, and their storage."""
