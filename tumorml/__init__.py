"""Scheduled retraining of brain-tumour MRI classifiers, with a gate that promotes on evidence."""

__version__ = "0.1.0"
