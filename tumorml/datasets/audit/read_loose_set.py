"""Read a folder, zip or tar of scans for an audit."""

from __future__ import annotations

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from tumorml.datasets.audit.findings import AuditedFile
from tumorml.datasets.audit.open_set import open_set
from tumorml.datasets.audit.small_jpeg import small_jpeg
from tumorml.datasets.grouping.patients import person_keys
from tumorml.errors import DropRefusedError, TumorMLError
from tumorml.scans.contents.entry import Contents
from tumorml.scans.images.decode import decode
from tumorml.scans.images.fingerprint import Fingerprint, fingerprint
from tumorml.scans.images.profile import FileProfile, examine
from tumorml.scans.inbox.layout import FileDescription, Layout, parse_split, read_folders
from tumorml.scans.inbox.manifest import find_manifest, read_manifest
from tumorml.scans.inbox.names import (
    drop_stem,
    is_system_file,
    leads_outside,
    path_parts,
)
from tumorml.settings import Settings

OnProgress = Callable[[int, int], None]

_THREADS = min(4, os.cpu_count() or 1)
_WINDOW = 2 * _THREADS
"""Number of files in memory at once."""
_IMAGE_FOLDERS = {"image", "images", "imgs"}


@dataclass(frozen=True, slots=True)
class LooseSet:
    """The scans of a folder or archive, read for an audit.

    Attributes:
        name: Name of the folder or archive.
        files: All files but companions (masks, manifests, system files), in the set's order.
        fingerprints: By scan id, about 9 kB each. Pictures without features have none.
        companions: Number of companions, which are not audited.
        notes: Sentences about how the set was read, for the report.
    """

    name: str
    files: Sequence[AuditedFile]
    fingerprints: Mapping[str, Fingerprint]
    companions: int
    notes: Sequence[str] = field(default=())


def read_loose_set(
    settings: Settings, path: Path, on_progress: OnProgress | None = None
) -> LooseSet:
    """Read a folder, zip or tar for an audit, without writing anything.

    Each file is read once, and only a few are in memory at a time.

    Raises:
        TumorMLError: The path is not a folder or archive, or contains no readable image.
        DropRefusedError: The archive or the manifest is invalid or exceeds a limit.
    """
    path = path.expanduser().resolve()
    notes: list[str] = []
    with open_set(path, settings) as contents:
        layout = _layout(contents, path, notes)
        profiles = {
            entry.path: FileProfile(entry.path, reason=entry.refusal) for entry in contents.entries
        }
        for name, reading in layout.descriptions.items():
            if reading.role == "refused":
                profiles[name].reason = reading.reason
        fingerprints = _examine_all(contents, layout, profiles, settings, on_progress)
    for name, reason in layout.missing.items():
        profiles.setdefault(name, FileProfile(name, reason=reason))
    companions = {n for n, reading in layout.descriptions.items() if reading.role == "companion"}
    files = _files([p for n, p in profiles.items() if n not in companions], layout)
    if not any(file.scan_id for file in files):
        first = next((f" {file.path}: {file.reason}" for file in files), "")
        raise TumorMLError(f"{path} contains no readable image.{first}")
    unknown_splits = sum(not reading.split_understood for reading in layout.descriptions.values())
    if unknown_splits:
        notes.append(
            f"{unknown_splits:,} rows of the manifest name a split that is neither train nor test."
        )
    return LooseSet(path.name, files, fingerprints, len(companions), notes)


def read_pictures(
    settings: Settings, path: Path, names: Collection[str], side: int
) -> dict[str, bytes]:
    """Return JPEGs of some files of a set, by path, without metadata.

    Files that are no longer readable are left out.

    Args:
        settings: The limits.
        path: The folder or archive.
        names: Paths of the files in the set.
        side: Maximum length of the longest side, in pixels.
    """
    pictures = {}
    with open_set(path, settings) as contents:
        for entry, data, _ in contents.read(frozenset(names)):
            if data is None:
                continue
            try:
                pixels = decode(
                    data, max_pixels=settings.max_scan_pixels, min_side=settings.min_scan_side
                ).pixels
            except TumorMLError:
                continue  # the file has changed since the audit; the page shows a placeholder
            pictures[entry.path] = small_jpeg(pixels, side)
    return pictures


def _layout(contents: Contents, path: Path, notes: list[str]) -> Layout:
    """Read labels and splits from the manifest, or else from folder names."""
    names = [entry.path for entry in contents.entries if not entry.refusal]
    manifest = find_manifest([e.path for e in contents.entries if not leads_outside(e.path)])
    if manifest is not None:
        for _, data, failure in contents.read({manifest}):
            if data is None:
                raise DropRefusedError(f"manifest.csv cannot be read. {failure}")
            return read_manifest(data, manifest, names)
        raise DropRefusedError("manifest.csv cannot be read.")
    layout = read_folders(names, drop_stem(path.name))
    roles = Counter(reading.role for reading in layout.descriptions.values())
    if roles["refused"] > roles["scan"] and not any(r.label for r in layout.descriptions.values()):
        notes.append(
            "No folder is named after a known label, so the folder names are used as labels."
        )
        return Layout(dict(_by_folder_names(names)))
    return layout


def _by_folder_names(names: Sequence[str]) -> Iterator[tuple[str, FileDescription]]:
    """Describe files with the name of their innermost folder as label, even if it is unknown."""
    for name in names:
        folders = path_parts(name)[:-1]
        splits = [split for split in map(parse_split, folders) if split]
        labels = [
            folder
            for folder in folders
            if not parse_split(folder) and folder.casefold() not in _IMAGE_FOLDERS
        ]
        yield (
            name,
            FileDescription("companion")
            if is_system_file(name)
            else FileDescription(
                "scan",
                label=labels[-1] if labels else None,
                given_split=splits[-1] if splits else None,
            ),
        )


def _examine_all(
    contents: Contents,
    layout: Layout,
    profiles: Mapping[str, FileProfile],
    settings: Settings,
    on_progress: OnProgress | None,
) -> dict[str, Fingerprint]:
    """Fill the profiles of all scans, and return the fingerprint of each scan by its id."""
    scan_files = {name for name, reading in layout.descriptions.items() if reading.role == "scan"}
    fingerprints: dict[str, Fingerprint] = {}
    known: set[str | None] = set()
    pending: deque[Future[tuple[FileProfile, Fingerprint | None]]] = deque()
    done = 0

    def work(profile: FileProfile, data: bytes) -> tuple[FileProfile, Fingerprint | None]:
        pixels = examine(profile, data, settings)
        is_new = pixels is not None and profile.scan_id not in known
        return profile, fingerprint(pixels) if is_new and pixels is not None else None

    def collect() -> None:
        nonlocal done
        profile, new_fingerprint = pending.popleft().result()
        known.add(profile.scan_id)
        if profile.scan_id is not None and new_fingerprint is not None:
            fingerprints[profile.scan_id] = new_fingerprint
        done += 1
        if on_progress is not None:
            on_progress(done, len(scan_files))

    with ThreadPoolExecutor(_THREADS) as pool:
        for entry, data, failure in contents.read(scan_files):
            if data is None:
                profiles[entry.path].reason = failure
                done += 1
                continue
            pending.append(pool.submit(work, profiles[entry.path], data))
            if len(pending) >= _WINDOW:
                collect()
        while pending:
            collect()
    return fingerprints


def _files(profiles: Sequence[FileProfile], layout: Layout) -> list[AuditedFile]:
    persons: dict[str, list[str]] = defaultdict(list)
    readings = layout.descriptions
    for kind in ("patient", "study"):
        named_ids = [
            (name, reading.site, getattr(reading, f"{kind}_id"))
            for name, reading in readings.items()
        ]
        for name, key in person_keys(kind, named_ids):
            persons[name].append(key)
    files = []
    for profile in profiles:
        reading = readings.get(profile.path, FileDescription("refused"))
        file = AuditedFile(
            profile.path,
            split=reading.given_split,
            label=reading.label,
            sha256=profile.sha256,
            persons=tuple(persons[profile.path]),
            reason=profile.reason,
        )
        if profile.scan_id and not profile.reason:
            file = replace(file, scan_id=profile.scan_id, exif_person=bool(profile.has_exif_person))
        files.append(file)
    return files
