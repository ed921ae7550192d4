"""Read a drop's ``manifest.csv``."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tumorml.errors import DropRefusedError
from tumorml.labels import parse_label
from tumorml.scans.inbox.layout import (
    KNOWN_LABELS,
    SYSTEM_FILE,
    FileDescription,
    Layout,
    parse_split,
)
from tumorml.scans.inbox.names import is_system_file, leads_outside, path_parts, printable

NOT_IN_DROP = "In the manifest, but not in the drop."
NOT_LISTED = "Not listed in manifest.csv."
_KNOWN = ("path", "label", "patient_id", "study_id", "site", "acquired_at", "mask", "split")
_MAX_OTHER_COLUMNS = 32
_MAX_OTHER_TEXT = 200
"""Characters of the name or a value of a column that is not in `_KNOWN`."""


def find_manifest(paths: Sequence[str]) -> str | None:
    """Return the path of the manifest at the drop's root or one folder below it, or None.

    Raises:
        DropRefusedError: There are several, and none is at the root.
    """
    manifests = [
        path
        for path in paths
        if path_parts(path.casefold())[-1:] == ["manifest.csv"]
        and len(path_parts(path)) <= 2
        and not is_system_file(path)
    ]
    at_root = [path for path in manifests if len(path_parts(path)) == 1]
    if len(at_root) == 1 or len(manifests) == 1:
        return (at_root or manifests)[0]
    if manifests:
        raise DropRefusedError(
            f"The drop has several manifests ({', '.join(sorted(manifests)[:5])}): drop each "
            "folder separately, or put one manifest.csv at the root."
        )
    return None


def read_manifest(data: bytes, manifest: str, paths: Sequence[str]) -> Layout:
    """Describe the files of a drop by its manifest.

    Unknown columns become attributes of the files: at most 32 columns, with names and values of at
    most 200 characters. A column without a name is ignored, because some programs write row numbers
    into one.

    Args:
        data: The CSV: UTF-8, with a header, separated by commas, semicolons or tabs.
        manifest: Path of the manifest in the drop; paths in the CSV are relative to its folder.
        paths: Paths of all files in the drop.

    Raises:
        DropRefusedError: The CSV cannot be read, lacks the column ``path`` or ``label``, has a
            duplicate column or a row with more fields than columns, or exceeds a limit for
            unknown columns.
    """
    by_name = {_normalize(path): path for path in paths}
    folder = manifest.rpartition("/")[0]
    listed: dict[str, dict[str, str]] = {}
    descriptions: dict[str, FileDescription] = {}
    missing: dict[str, str] = {}
    for line, row in enumerate(_rows(data), start=2):
        if not any(row.values()):
            continue
        name = row["path"]
        if not name:
            missing[f"manifest.csv, row {line}"] = "The row has no path."
            continue
        path = _resolve(name, folder, by_name)
        if path is None:
            missing[name] = NOT_IN_DROP
        elif path in listed and listed[path] != row:
            descriptions[path] = FileDescription("refused", _contradiction(listed[path], row))
        elif path not in listed:
            listed[path] = row
            descriptions[path] = _describe(row)
    masks = _attach_masks(listed, descriptions, missing, folder, by_name)
    for path in paths:
        if is_system_file(path):
            descriptions.setdefault(path, FileDescription("companion", SYSTEM_FILE))
        elif path == manifest:
            descriptions[path] = FileDescription("companion", "The drop's manifest.")
        elif path not in descriptions:
            owners = masks.get(path)
            descriptions[path] = (
                FileDescription("companion", f"Mask of {owners[0]}.", mask_of=tuple(owners))
                if owners
                else FileDescription("refused", NOT_LISTED)
            )
    return Layout(descriptions, missing)


def _rows(data: bytes) -> list[dict[str, str]]:
    """Return the rows with stripped values; column names in lower case, ``path`` last."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DropRefusedError("manifest.csv is not UTF-8 text: save it as CSV UTF-8.") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        columns = [printable((name or "").strip().casefold()) for name in reader.fieldnames or ()]
        other_columns = _other_columns(columns)
        reader.fieldnames = columns
        used = (*_KNOWN[1:], *other_columns, "path")
        rows = []
        for line, fields in enumerate(reader, start=2):
            row = {column: printable((fields.get(column) or "").strip()) for column in used}
            _check_row(line, row, other_columns, fields.get(reader.restkey))
            rows.append(row)
    except csv.Error as error:
        raise DropRefusedError(f"manifest.csv cannot be read as CSV: {error}.") from error
    return rows


def _other_columns(columns: Sequence[str]) -> list[str]:
    """Check the header and return the names of the columns that are not in `_KNOWN`."""
    for needed in ("path", "label"):
        if columns.count(needed) != 1:
            existing = ", ".join(filter(None, columns))[:200] or "nothing"
            raise DropRefusedError(
                f"manifest.csv needs exactly one column {needed!r}; its first line has: {existing}."
            )
    counts = Counter(filter(None, columns))
    duplicates = [name for name, count in counts.items() if count > 1]
    if duplicates:
        raise DropRefusedError(
            f"manifest.csv has the column {duplicates[0][:_MAX_OTHER_TEXT]!r} more than once "
            "(upper and lower case are the same): rename or remove one."
        )
    other_columns = [name for name in counts if name not in _KNOWN]
    if len(other_columns) > _MAX_OTHER_COLUMNS:
        raise DropRefusedError(
            f"manifest.csv has {len(other_columns)} columns besides {', '.join(_KNOWN)}; the limit "
            f"is {_MAX_OTHER_COLUMNS}: remove those that you do not need."
        )
    too_long = [name for name in other_columns if len(name) > _MAX_OTHER_TEXT]
    if too_long:
        raise DropRefusedError(
            f"manifest.csv has a column name of {len(too_long[0])} characters, "
            f"{too_long[0][:40]!r}...; the limit is {_MAX_OTHER_TEXT}: shorten it."
        )
    return other_columns


def _check_row(
    line: int, row: dict[str, str], other_columns: Sequence[str], surplus: Sequence[str] | None
) -> None:
    """Refuse the drop if the row has more fields than columns, or a value that is too long."""
    if any(field.strip() for field in surplus or ()):
        raise DropRefusedError(
            f"manifest.csv, row {line}, has more fields than the first line has columns: put "
            "values that contain the delimiter in quotation marks."
        )
    for column in other_columns:
        if len(row[column]) > _MAX_OTHER_TEXT:
            raise DropRefusedError(
                f"manifest.csv, row {line}: the value of {column} has {len(row[column])} "
                f"characters; the limit is {_MAX_OTHER_TEXT}: shorten it, or remove the column."
            )


def _describe(row: dict[str, str]) -> FileDescription:
    label = parse_label(row["label"]) if row["label"] else None
    if row["label"] and label is None:
        return FileDescription(
            "refused", f"The label {row['label']!r} is not known. Known labels are {KNOWN_LABELS}."
        )
    split = parse_split(row["split"])
    return FileDescription(
        "scan",
        label=label,
        given_split=split,
        patient_id=row["patient_id"] or None,
        study_id=row["study_id"] or None,
        site=row["site"] or None,
        acquired_at=row["acquired_at"] or None,
        split_understood=split is not None or not row["split"],
        attributes={c: v for c, v in row.items() if v and c not in _KNOWN} or None,
    )


def _attach_masks(
    listed: dict[str, dict[str, str]],
    descriptions: dict[str, FileDescription],
    missing: dict[str, str],
    folder: str,
    by_name: dict[str, str],
) -> dict[str, list[str]]:
    """Set the mask of each scan's description; return the paths of the scans of each mask."""
    masks: dict[str, list[str]] = {}
    for path, row in listed.items():
        if not row["mask"] or descriptions[path].role != "scan":
            continue
        mask = _resolve(row["mask"], folder, by_name)
        if mask is None:
            missing[row["mask"]] = NOT_IN_DROP
        elif mask in listed:
            descriptions[path] = FileDescription(
                "refused", f"Its mask {mask} is also listed as a scan."
            )
        else:
            descriptions[path] = replace(descriptions[path], mask=mask)
            masks.setdefault(mask, []).append(path)
    return masks


def _contradiction(first: dict[str, str], second: dict[str, str]) -> str:
    column = next(name for name in first if first[name] != second[name])
    return (
        f"Listed twice in manifest.csv, with the {column} {first[column] or 'empty'!r} and "
        f"{second[column] or 'empty'!r}."
    )


def _resolve(name: str, folder: str, by_name: dict[str, str]) -> str | None:
    if leads_outside(name):
        return None
    return by_name.get(_normalize(f"{folder}/{name}" if folder else name))


def _normalize(path: str) -> str:
    """Return the path without ``.`` and double slashes, in Unicode form NFC (macOS uses NFD)."""
    return unicodedata.normalize("NFC", "/".join(path_parts(path)))
