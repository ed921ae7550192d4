"""Names and checksums of the files of a model version."""

from __future__ import annotations

import hashlib
from pathlib import Path

MODEL_FILE = "model.keras"
DESCRIPTION_FILE = "model.json"
LITE_FILE = "model.tflite"
REFERENCE_FILE = "reference.npz"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
