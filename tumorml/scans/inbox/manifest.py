"""Read a drop's ``manifest.csv``."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tumorml.labels import parse_label
from tumorml.scans.contents.open_contents import DropRefusedError
from tumorml.scans.inbox.layout import (
    KNOWN_LABELS,
    SYSTEM_FILE,
    FileDescription,
    Layout,
    parse_split,
)
from tumorml.scans.inbox.names import is_system_file, leads_outside, path_parts, printable

NOT_IN_DROP = "Named by the manifest but not in the drop."
NOT_LISTED = "Not listed in manifest.csv."
_KNOWN = ("path", "label", "patient_id", "study_id", "site", "acquired_at", "mask", "split")
_MOST_FURTHER_COLUMNS = 32
_LONGEST_FURTHER_TEXT = 200


def find_manifest(paths: Sequence[str]) -> str | None:
    """The path of the manifest at the drop's root or one folder down, or None.

    Raises:
        DropRefusedError: There are several, and none at the root.
    """
    found = [
        path
        for path in paths
        if path_parts(path.casefold())[-1:] == ["manifest.csv"]
        and len(path_parts(path)) <= 2
        and not is_system_file(path)
    ]
    at_root = [path for path in found if len(path_parts(path)) == 1]
    if len(at_root) == 1 or len(found) == 1:
        return (at_root or found)[0]
    if found:
        raise DropRefusedError(
            f"The drop has several manifests ({', '.join(sorted(found)[:5])}): drop each folder by "
            "itself, or put one manifest.csv at the root."
        )
    return None


def read_manifest(data: bytes, manifest: str, paths: Sequence[str]) -> Layout:
    """What a manifest says about the files of its drop.

    Columns that are not known here become the attributes of their files: at most 32, with names and
    values of at most 200 characters. A column without a name is passed over, since programs write
    the numbers of rows into one.

    Args:
        data: The CSV's bytes: UTF-8, with a header, fields parted by commas, semicolons or tabs.
        manifest: Its path in the drop; the paths in it are relative to its folder.
        paths: The paths of all files in the drop.

    Raises:
        DropRefusedError: It cannot be read, lacks the column ``path`` or ``label``, has a column
            twice or a row with more fields than columns, or says more than is kept.
    """
    by_name = {_folded(path): path for path in paths}
    folder = manifest.rpartition("/")[0]
    listed: dict[str, dict[str, str]] = {}
    descriptions: dict[str, FileDescription] = {}
    missing: dict[str, str] = {}
    for line, row in enumerate(_rows(data), start=2):
        if not any(row.values()):
            continue
        name = row["path"]
        if not name:
            missing[f"manifest.csv, row {line}"] = "The row names no file."
            continue
        path = _resolve(name, folder, by_name)
        if path is None:
            missing[name] = NOT_IN_DROP
        elif path in listed and listed[path] != row:
            descriptions[path] = FileDescription("refused", _contradiction(listed[path], row))
        elif path not in listed:
            listed[path] = row
            descriptions[path] = _reading(row)
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
    """The rows, stripped; names of columns in lower case, the known ones first, ``path`` last."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DropRefusedError("manifest.csv is not UTF-8 text: save it as CSV UTF-8.") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        columns = [printable((name or "").strip().casefold()) for name in reader.fieldnames or ()]
        further = _further_columns(columns)
        reader.fieldnames = columns
        used = (*_KNOWN[1:], *further, "path")
        rows = []
        for line, fields in enumerate(reader, start=2):
            row = {column: printable((fields.get(column) or "").strip()) for column in used}
            _refuse_lost_text(line, row, further, fields.get(reader.restkey))
            rows.append(row)
    except csv.Error as error:
        raise DropRefusedError(f"manifest.csv cannot be read as CSV: {error}.") from error
    return rows


def _further_columns(columns: Sequence[str]) -> list[str]:
    """The columns that are not known here, by name; what a header may not be is refused."""
    for needed in ("path", "label"):
        if columns.count(needed) != 1:
            has = ", ".join(filter(None, columns))[:200] or "nothing"
            raise DropRefusedError(
                f"manifest.csv needs one column {needed!r}; its first line has {has}."
            )
    counts = Counter(filter(None, columns))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DropRefusedError(
            f"manifest.csv has the column {twice[0][:_LONGEST_FURTHER_TEXT]!r} more than once "
            "(capitals make no difference): rename one, or leave it out."
        )
    further = [name for name in counts if name not in _KNOWN]
    if len(further) > _MOST_FURTHER_COLUMNS:
        raise DropRefusedError(
            f"manifest.csv has {len(further)} columns beside {', '.join(_KNOWN)}, and at most "
            f"{_MOST_FURTHER_COLUMNS} are kept: leave out those that you do not need."
        )
    too_long = [name for name in further if len(name) > _LONGEST_FURTHER_TEXT]
    if too_long:
        raise DropRefusedError(
            f"manifest.csv has a column whose name has {len(too_long[0])} characters, "
            f"{too_long[0][:40]!r}...; at most {_LONGEST_FURTHER_TEXT} are kept: shorten it."
        )
    return further


def _refuse_lost_text(
    line: int, row: dict[str, str], further: Sequence[str], surplus: Sequence[str] | None
) -> None:
    """Refuse the drop for what a row says that could not be kept."""
    if any(field.strip() for field in surplus or ()):
        raise DropRefusedError(
            f"manifest.csv, row {line}, has more fields than the first line has columns: put a "
            "value that holds the delimiter into quotation marks."
        )
    for column in further:
        if len(row[column]) > _LONGEST_FURTHER_TEXT:
            raise DropRefusedError(
                f"manifest.csv, row {line}: its {column} has {len(row[column])} characters, and at "
                f"most {_LONGEST_FURTHER_TEXT} are kept: shorten it, or leave the column out."
            )


def _reading(row: dict[str, str]) -> FileDescription:
    label = parse_label(row["label"]) if row["label"] else None
    if row["label"] and label is None:
        return FileDescription(
            "refused", f"The label {row['label']!r} is not known; known are {KNOWN_LABELS}."
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
    """Give each scan the path of its mask; the scans of each mask are returned."""
    masks: dict[str, list[str]] = {}
    for path, row in listed.items():
        if not row["mask"] or descriptions[path].role != "scan":
            continue
        mask = _resolve(row["mask"], folder, by_name)
        if mask is None:
            missing[row["mask"]] = NOT_IN_DROP
        elif mask in listed:
            descriptions[path] = FileDescription(
                "refused", f"Its mask {mask} is listed as a scan, too."
            )
        else:
            descriptions[path] = replace(descriptions[path], mask=mask)
            masks.setdefault(mask, []).append(path)
    return masks


def _contradiction(first: dict[str, str], second: dict[str, str]) -> str:
    column = next(name for name in first if first[name] != second[name])
    return (
        f"Listed twice in manifest.csv, with the {column} {first[column] or 'empty'!r} and with "
        f"{second[column] or 'empty'!r}."
    )


def _resolve(name: str, folder: str, by_name: dict[str, str]) -> str | None:
    if leads_outside(name):
        return None
    return by_name.get(_folded(f"{folder}/{name}" if folder else name))


def _folded(path: str) -> str:
    """The path without ``.`` and doubled slashes, its accents in one spelling (macOS has two)."""
    return unicodedata.normalize("NFC", "/".join(path_parts(path)))
