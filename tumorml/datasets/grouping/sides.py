"""A group's side, drawn once by a stable hash of its id."""

from __future__ import annotations

import hashlib

SIDES = ("train", "validation", "test")
"""In order of precedence: of a group on two sides, the scans of the later one are held out."""


def draw_side(group_id: str, *, validation_share: float, test_share: float) -> str:
    """The side of a new group: the same for the same id and shares, whatever else there is.

    The draw does not look at labels, so each label is split in these shares in expectation.
    """
    digest = hashlib.sha256(f"side of {group_id}".encode()).digest()
    draw = int.from_bytes(digest[:8]) / 2**64
    if draw < test_share:
        return "test"
    if draw < test_share + validation_share:
        return "validation"
    return "train"
