"""Fingerprints of scans by name, to search them for twins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tests.factories.scan_copies import Pixels
from tumorml.datasets.twins.candidates import Catalogue
from tumorml.datasets.twins.find_twins import Twin, find_twins
from tumorml.scans.images.fingerprint import (
    FRAMES,
    GRID_SIDE,
    KEY_LENGTH,
    Fingerprint,
    fingerprint,
)


@dataclass(frozen=True)
class FingerprintedScans:
    """Fingerprints of scans by name."""

    fingerprints: Mapping[str, Fingerprint]

    def twins(
        self,
        names: Sequence[str] | None = None,
        new: Iterable[str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[Twin]:
        """Find the twins of the new scans, by index in the names; default: all names, all new."""
        names = list(self.fingerprints if names is None else names)
        new_names = set(names if new is None else new)
        shape = (len(names), len(FRAMES))
        return find_twins(
            Catalogue(
                names,
                np.array([self.fingerprints[n].keys for n in names], np.int8).reshape(
                    *shape, KEY_LENGTH
                ),
                np.array([self.fingerprints[n].grids for n in names], np.int8).reshape(
                    *shape, GRID_SIDE, GRID_SIDE
                ),
            ),
            [index for index, name in enumerate(names) if name in new_names],
            lambda indices: {i: self.fingerprints[names[i]].thumbnail for i in indices},
            labels=None if labels is None else [labels[name] for name in names],
        )


def fingerprint_scans(pictures: Mapping[str, Pixels]) -> FingerprintedScans:
    """Fingerprint pictures; those without a fingerprint are left out."""
    fingerprints = {name: fingerprint(pixels) for name, pixels in pictures.items()}
    return FingerprintedScans(
        {name: found for name, found in fingerprints.items() if found is not None}
    )


def named_pairs(twins: Iterable[Twin], names: Sequence[str]) -> set[frozenset[str]]:
    """Return the pairs of names of some twins."""
    return {frozenset((names[twin.first], names[twin.second])) for twin in twins}


def patient(name: str) -> str:
    """Return the patient of a scan or copy: the first word of its name."""
    return name.split(" ")[0]
