"""FileDescription a folder, zip or tar for an audit: nothing is taken in, nothing is written."""

from __future__ import annotations

import io
import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tumorml.datasets.audit.findings import AuditedFile
from tumorml.datasets.grouping.patients import person_keys
from tumorml.errors import TumorMLError
from tumorml.objects.local import LocalObjects
from tumorml.scans.contents.open_contents import Contents, DropRefusedError, FolderContents
from tumorml.scans.contents.tar_archive import TarContents
from tumorml.scans.contents.zip_archive import ZipContents
from tumorml.scans.images.decode import decode
from tumorml.scans.images.fingerprint import Fingerprint, fingerprint
from tumorml.scans.images.profile import FileProfile, examine
from tumorml.scans.inbox.claim import Claim, ClaimedFile
from tumorml.scans.inbox.layout import FileDescription, Layout, parse_split, read_folders
from tumorml.scans.inbox.manifest import find_manifest, read_manifest
from tumorml.scans.inbox.names import (
    READY,
    archive_suffix,
    drop_stem,
    is_system_file,
    leads_outside,
    path_parts,
    printable,
    unique,
)
from tumorml.settings import Settings

OnProgress = Callable[[int, int], None]

_THREADS = min(4, os.cpu_count() or 1)
_WINDOW = 2 * _THREADS
"""Files that are in memory at once."""
_IMAGE_FOLDERS = {"image", "images", "imgs"}


@dataclass(frozen=True, slots=True)
class LooseSet:
    """A set as it lies there.

    Attributes:
        name: Of the folder or archive.
        files: Everything that is no companion (mask, manifest, system file), in the set's order.
        fingerprints: By scan id, about 9 kB each; featureless pictures have none.
        companions: How many files were passed over because they accompany scans.
        notes: Sentences about how the set was understood.
    """

    name: str
    files: Sequence[AuditedFile]
    fingerprints: Mapping[str, Fingerprint]
    companions: int
    notes: Sequence[str] = field(default=())


def read_loose_set(
    settings: Settings, path: Path, on_progress: OnProgress | None = None
) -> LooseSet:
    """Read every file of a folder, zip or tar once, with a few in memory at a time.

    Raises:
        TumorMLError: There is no folder or archive at the path, or no image in it; as
            ``DropRefusedError``, the archive or the manifest must not or cannot be read.
    """
    path = path.expanduser().resolve()
    notes: list[str] = []
    with _opened(path, settings) as contents:
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
        raise TumorMLError(f"There is no image in {path} that can be read.{first}")
    vague = sum(not reading.split_understood for reading in layout.descriptions.values())
    if vague:
        notes.append(f"{vague:,} rows of the manifest name a split that is neither train nor test.")
    return LooseSet(path.name, files, fingerprints, len(companions), notes)


def read_pictures(
    settings: Settings, path: Path, wanted: Collection[str], side: int
) -> dict[str, bytes]:
    """Small JPEGs, without metadata, of some files of the set, longest side ``side`` pixels."""
    pictures = {}
    with _opened(path, settings) as contents:
        for entry, data, _ in contents.read(frozenset(wanted)):
            if data is None:
                continue
            try:
                pixels = decode(
                    data, max_pixels=settings.max_scan_pixels, min_side=settings.min_scan_side
                ).pixels
            except TumorMLError:
                continue  # It was an image a minute ago; the page shows the pair without it.
            pictures[entry.path] = small_jpeg(pixels, side)
    return pictures


def small_jpeg(pixels: NDArray[np.uint8], side: int) -> bytes:
    """A JPEG without metadata of pixels, uint8 [height, width]; longest side ``side``."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


@contextmanager
def _opened(path: Path, settings: Settings) -> Iterator[Contents]:
    path = path.expanduser().resolve()
    if not path.exists():
        raise TumorMLError(f"There is nothing at {path}: give a folder, a zip or a tar of scans.")
    if path.is_dir():
        yield _folder(path, settings)
        return
    suffix = archive_suffix(path.name)
    if suffix is None or not path.is_file():
        raise TumorMLError(f"{path} is neither a folder nor a zip nor a tar of scans.")
    try:
        stream = path.open("rb")
    except PermissionError as error:
        raise TumorMLError(f"{path} may not be read: {error.strerror}.") from error
    with stream:
        yield ZipContents(stream, settings) if suffix == ".zip" else TarContents(stream, settings)


def _folder(path: Path, settings: Settings) -> Contents:
    store = LocalObjects(str(path.parent))
    taken: set[str] = set()
    files = tuple(
        ClaimedFile(
            key=stored.key,
            size=stored.size,
            version=stored.version,
            regular=stored.regular,
            path=unique(printable(stored.key.removeprefix(f"{path.name}/")), taken),
        )
        for stored in (store.list(path.name) if path.name else ())
        if stored.key != f"{path.name}/{READY}"
    )
    if not files:
        raise TumorMLError(f"The folder {path} is empty: there is no file in it.")
    return FolderContents(store, Claim(path.name, files, None), settings)


def _layout(contents: Contents, path: Path, notes: list[str]) -> Layout:
    """What the manifest says or, without one, the folders."""
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
            "No folder is the name of a label that the service knows; the folders' own names "
            "stand for labels here."
        )
        return Layout(dict(_by_folder_names(names)))
    return layout


def _by_folder_names(names: Sequence[str]) -> Iterator[tuple[str, FileDescription]]:
    """Folders with names that are no labels of ours: the innermost one is the label."""
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
    """Fill the profiles of all scans; the fingerprints of the different ones."""
    wanted = {name for name, reading in layout.descriptions.items() if reading.role == "scan"}
    found: dict[str, Fingerprint] = {}
    known: set[str | None] = set()
    pending: deque[Future[tuple[FileProfile, Fingerprint | None]]] = deque()
    done = 0

    def work(profile: FileProfile, data: bytes) -> tuple[FileProfile, Fingerprint | None]:
        pixels = examine(profile, data, settings)
        is_new = pixels is not None and profile.scan_id not in known
        return profile, fingerprint(pixels) if is_new and pixels is not None else None

    def collect() -> None:
        nonlocal done
        profile, seen = pending.popleft().result()
        known.add(profile.scan_id)
        if profile.scan_id is not None and seen is not None:
            found[profile.scan_id] = seen
        done += 1
        if on_progress is not None:
            on_progress(done, len(wanted))

    with ThreadPoolExecutor(_THREADS) as pool:
        for entry, data, failure in contents.read(wanted):
            if data is None:
                profiles[entry.path].reason = failure
                done += 1
                continue
            pending.append(pool.submit(work, profiles[entry.path], data))
            if len(pending) >= _WINDOW:
                collect()
        while pending:
            collect()
    return found


def _files(profiles: Sequence[FileProfile], layout: Layout) -> list[AuditedFile]:
    persons: dict[str, list[str]] = defaultdict(list)
    readings = layout.descriptions
    for kind in ("patient", "study"):
        said = [
            (name, reading.site, getattr(reading, f"{kind}_id"))
            for name, reading in readings.items()
        ]
        for name, key in person_keys(kind, said):
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
