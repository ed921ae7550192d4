"""Tasks, their label spaces, and the folder-name spellings that the public sets use."""

from __future__ import annotations

import re
from enum import StrEnum


class Task(StrEnum):
    """What a model decides."""

    BINARY = "binary"
    FOUR_CLASS = "four_class"


NO_TUMOR = "no_tumor"

LABELS: dict[Task, tuple[str, ...]] = {
    Task.BINARY: ("no_tumor", "tumor"),
    Task.FOUR_CLASS: ("glioma", "meningioma", "no_tumor", "pituitary"),
}
"""The labels of each task; a label's index here is its class index everywhere."""

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
    """The label that a folder or manifest spells, or None when it spells none.

    Case, spaces, hyphens and underscores do not count, and ``tumour`` is ``tumor``.
    """
    folded = re.sub(r"[\s_\-]+", "", spelling.casefold()).replace("tumour", "tumor")
    return _SPELLINGS.get(folded)


def label_for_task(label: str, task: Task) -> str | None:
    """The reading of a label in a task's space, or None where it has none.

    A four-class label is also a binary label; ``tumor`` says nothing about the four classes.
    """
    if label in LABELS[task]:
        return label
    if task is Task.BINARY and label in LABELS[Task.FOUR_CLASS]:
        return "tumor"
    return None


def contradict(first: str | None, second: str | None) -> bool:
    """Whether two labels cannot both be right: ``tumor`` and ``glioma`` can."""
    if first is None or second is None or first == second:
        return False
    readings = [[label_for_task(label, task) for task in Task] for label in (first, second)]
    both = [(one, other) for one, other in zip(*readings, strict=True) if one and other]
    return not both or any(one != other for one, other in both)
