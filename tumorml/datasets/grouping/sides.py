"""The side of a group, drawn by a stable hash of the group's id."""

from __future__ import annotations

import hashlib

SIDES = ("train", "validation", "test")
"""Sides in order of precedence: in a group on two sides, the scans of the later are held out."""


def draw_side(group_id: str, *, validation_share: float, test_share: float) -> str:
    """Draw the side of a new group from its id.

    The result depends on the id and the shares only. Labels are not considered, so each label is
    split in these shares in expectation.

    Args:
        group_id: Id of the group.
        validation_share: Probability of ``validation``, 0 to 1.
        test_share: Probability of ``test``, 0 to 1.
    """
    digest = hashlib.sha256(f"side of {group_id}".encode()).digest()
    draw = int.from_bytes(digest[:8]) / 2**64
    if draw < test_share:
        return "test"
    if draw < test_share + validation_share:
        return "validation"
    return "train"
