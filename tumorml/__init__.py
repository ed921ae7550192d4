"""Scheduled retraining of brain-tumor MRI classifiers, with a gate that promotes on evidence."""

__version__ = "0.1.0"
