"""Relations between two scans: the values stored in ``twin.kind`` and ``leak.kind``."""

from __future__ import annotations

from enum import StrEnum


class TwinKind(StrEnum):
    """A relation between two scans, in order of strength.

    ``str(kind)`` is the stored value. ``twin`` rows hold ``REENCODED``, ``MIRRORED`` and
    ``SIMILAR`` only; the other kinds follow from scan ids, patient ids and groups.
    """

    EXACT = "exact"
    """Identical canonical pixels and therefore the same scan id."""
    REENCODED = "reencoded"
    """The same picture in the same orientation, encoded, resized or padded differently."""
    MIRRORED = "mirrored"
    """The same picture, mirrored or turned by quarter turns."""
    SIMILAR = "similar"
    """Nearly the same picture, such as an adjacent slice or a crop."""
    SAME_PATIENT = "same_patient"
    """The same patient or study id; reported by audits only."""
    SAME_GROUP = "same_group"
    """The same group: a common patient, or a chain of twins; reported by leak reports only."""
    NONE = "none"
    """No known relation."""

    @property
    def strength(self) -> int:
        """Rank of the relation: 0 for the strongest, ``EXACT``."""
        return list(TwinKind).index(self)


SAME_PICTURE_KINDS = (TwinKind.REENCODED, TwinKind.MIRRORED)
"""Kinds of ``twin`` rows whose scans show one picture; ``SIMILAR`` may be an adjacent slice."""

TWIN_KINDS = (TwinKind.EXACT, TwinKind.REENCODED, TwinKind.MIRRORED, TwinKind.SIMILAR)
"""Kinds found by comparing pixels."""

AUDIT_KINDS = (*TWIN_KINDS, TwinKind.SAME_PATIENT, TwinKind.NONE)
"""Kinds that an audit of a set of files reports for a file."""

LEAK_KINDS = (*TWIN_KINDS, TwinKind.SAME_GROUP, TwinKind.NONE)
"""Kinds that a run's leak report counts (``leak.kind``)."""
