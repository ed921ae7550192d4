"""Tasks, their labels, and the spellings of labels in public data sets."""

from __future__ import annotations

import re
from enum import StrEnum


class Task(StrEnum):
    """A classification task: one set of labels."""

    BINARY = "binary"
    FOUR_CLASS = "four_class"


NO_TUMOR = "no_tumor"

LABELS: dict[Task, tuple[str, ...]] = {
    Task.BINARY: ("no_tumor", "tumor"),
    Task.FOUR_CLASS: ("glioma", "meningioma", "no_tumor", "pituitary"),
}
"""Labels of each task. The position of a label is its class index in all arrays and models."""

_SPELLINGS = {
    "glioma": "glioma",
    "gliomatumor": "glioma",
    "meningioma": "meningioma",
    "meningiomatumor": "meningioma",
    "pituitary": "pituitary",
    "pituitarytumor": "pituitary",
    "notumor": "no_tumor",
    "none": "no_tumor",
    "no": "no_tumor",
    "normal": "no_tumor",
    "healthy": "no_tumor",
    "negative": "no_tumor",
    "tumor": "tumor",
    "yes": "tumor",
    "positive": "tumor",
}


def parse_label(spelling: str) -> str | None:
    """Return the label for a folder name or manifest value, or None for an unknown spelling.

    Case, white space, hyphens and underscores are ignored; ``tumour`` equals ``tumor``.
    """
    folded = re.sub(r"[\s_\-]+", "", spelling.casefold()).replace("tumour", "tumor")
    return _SPELLINGS.get(folded)


def label_for_task(label: str, task: Task) -> str | None:
    """Map a label to a task's labels, or return None if the task has no label for it.

    Each four-class label maps to a binary one. ``tumor`` maps to no four-class label.
    """
    if label in LABELS[task]:
        return label
    if task is Task.BINARY and label in LABELS[Task.FOUR_CLASS]:
        return "tumor"
    return None


def contradict(first: str | None, second: str | None) -> bool:
    """Return whether two labels exclude each other; ``tumor`` and ``glioma`` do not."""
    if first is None or second is None or first == second:
        return False
    mapped = [[label_for_task(label, task) for task in Task] for label in (first, second)]
    common = [(one, other) for one, other in zip(*mapped, strict=True) if one and other]
    return not common or any(one != other for one, other in common)
