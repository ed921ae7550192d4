"""Keys of patients and studies, from the ids that came with the scans."""

from __future__ import annotations

from collections.abc import Iterable

NamedId = tuple[str, str | None, str | None]
"""A scan, its site, and its patient or study id."""


def person_keys(kind: str, named_ids: Iterable[NamedId]) -> list[tuple[str, str]]:
    """Return pairs of scan and patient (or study) key; scans with a common key form one group.

    An id is unique within its site. If any scan has an id without a site, that id is one patient at
    all sites. The group may then be too large, but no patient leaks across the split. Case and
    surrounding white space are ignored.

    Args:
        kind: ``patient`` or ``study``, the first word of each key.
        named_ids: Ids of scans. Scans without an id are left out of the result.
    """
    folded = [(scan, _folded(site), _folded(name)) for scan, site, name in named_ids]
    siteless = {name for _, site, name in folded if not site}
    return [
        (scan, f"{kind} {'' if name in siteless else site}/{name}")
        for scan, site, name in folded
        if name
    ]


def _folded(text: str | None) -> str:
    return (text or "").strip().casefold()
