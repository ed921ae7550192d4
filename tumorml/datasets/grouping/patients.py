"""Whose scans these are, as far as the ids in manifests tell."""

from __future__ import annotations

from collections.abc import Iterable

Said = tuple[str, str | None, str | None]
"""A scan, the site and the id that a manifest named for it."""


def person_keys(kind: str, said: Iterable[Said]) -> list[tuple[str, str]]:
    """Each scan with the key of its patient (or study); scans with one key belong together.

    An id is read within its site, unless somebody used it without one: then it is one patient
    everywhere. That can make a group too large; the other way a patient could leak. Case and outer
    blanks do not count.

    Args:
        kind: ``patient`` or ``study``, the first word of each key.
        said: What the manifests say; scans without an id are left out.
    """
    folded = [(scan, _folded(site), _folded(name)) for scan, site, name in said]
    siteless = {name for _, site, name in folded if not site}
    return [
        (scan, f"{kind} {'' if name in siteless else site}/{name}")
        for scan, site, name in folded
        if name
    ]


def _folded(text: str | None) -> str:
    return (text or "").strip().casefold()
