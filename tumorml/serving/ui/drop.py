"""Page "Drop a batch": put images or an archive into the inbox, and show the result."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.scans.inbox.names import archive_suffix, unique
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.serving.ui.queries import Row, query_rows
from tumorml.serving.ui.widgets import escape_markdown, format_label, show_errors, show_table
from tumorml.settings import Settings

NO_LABEL, LABELS_IN_ARCHIVE = "no label", "labels from the archive"
FINISHED_BATCH = """
    select * from batch_summary
     where drop_name = :name and claimed_at >= :since and state <> 'waiting'
     order by claimed_at desc limit 1
"""
REFUSED_FILES = """
    select path as file, reason from batch_file
     where batch_id = :batch and outcome = 'refused' order by path limit 500
"""
POLL_SECONDS = 2.0
_MAX_NAME_LENGTH = 50
"""In characters of at most 4 bytes; file systems allow 255 bytes, and `unique` adds some."""


def page(settings: Settings) -> None:
    """Show a form, and the batch of the last drop."""
    number = st.session_state.setdefault("drops", 0)  # a new key clears the form
    with st.form(f"drop-{number}"):
        files = st.file_uploader(
            "Images, or one zip or tar archive", accept_multiple_files=True, key=f"dropped-{number}"
        )
        labels = list(dict.fromkeys(label for task in Task for label in LABELS[task]))
        label = st.selectbox(
            "Label", [NO_LABEL, LABELS_IN_ARCHIVE, *labels], format_func=format_label
        )
        left, right = st.columns(2)
        patient = left.text_input(
            "Patient id",
            placeholder="if all images are of one patient",
            help="A pseudonym, never a name. All scans of a patient go to the same split.",
        )
        site = right.text_input("Site", placeholder="where the images were acquired")
        submitted = st.form_submit_button("Drop", type="primary", icon=":material/upload:")
    st.caption(
        "An archive has its labels in folder names (`glioma/1.png`) or in a `manifest.csv`. For "
        "files above the upload limit use `tumorml drop`."
    )
    if submitted:
        (row,) = query_rows(settings, "select now() as moment")
        name = drop_files(
            settings,
            [(file.name, file.getvalue()) for file in files],
            label=label,
            patient_id=patient,
            site=site,
        )
        st.session_state["last_drop"] = name, row["moment"]
        st.session_state["drops"] += 1
        st.rerun()
    if "last_drop" in st.session_state:
        pending = _finished_batch(settings) is None
        st.fragment(show_result, run_every=POLL_SECONDS if pending else None)(settings, pending)


def drop_files(
    settings: Settings,
    files: Sequence[tuple[str, bytes]],
    *,
    label: str,
    patient_id: str = "",
    site: str = "",
) -> str:
    """Put files into the inbox as one drop: an archive unchanged, or images with a manifest.

    Args:
        settings: Settings with the inbox.
        files: Names and contents: one archive, or images.
        label: Label of all images or `NO_LABEL`; for an archive `LABELS_IN_ARCHIVE`.
        patient_id: Patient of all images, or empty.
        site: Site of all images, or empty.

    Returns:
        The name of the drop.

    Raises:
        TumorMLError: There are no files, or files and label do not match.
    """
    archives = [name for name, _ in files if archive_suffix(name)]
    if not files:
        raise TumorMLError("Choose images or an archive first.")
    if archives and len(files) > 1:
        raise TumorMLError(f"Drop {archives[0]} alone: an archive is a complete drop.")
    if archives and (label != LABELS_IN_ARCHIVE or patient_id or site):
        raise TumorMLError(
            f"{archives[0]} contains its own labels, patients and sites: choose "
            f"“{LABELS_IN_ARCHIVE}” and leave the other fields empty."
        )
    if not archives and label == LABELS_IN_ARCHIVE:
        raise TumorMLError(f"“{LABELS_IN_ARCHIVE}” needs a zip or tar archive, not images.")
    name = f"page-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if archives:
            suffix = archive_suffix(archives[0]) or ""
            path = folder / f"{name}{suffix}"
            path.write_bytes(files[0][1])
            return put_drop(settings, path)
        (folder / "images").mkdir()
        used_names: set[str] = set()
        with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
            manifest = csv.writer(file)
            manifest.writerow(["path", "label", "patient_id", "site"])
            for file_name, data in files:
                path = folder / "images" / unique(_safe_name(file_name), used_names)
                path.write_bytes(data)
                manifest_label = "" if label == NO_LABEL else label
                manifest.writerow([f"images/{path.name}", manifest_label, patient_id, site])
        return put_drop(settings, folder, name)


def _safe_name(file_name: str) -> str:
    """Return the end of a file name in characters that every file system allows."""
    safe = "".join(one if one.isalnum() or one in " ._-()" else "_" for one in file_name)
    return safe[-_MAX_NAME_LENGTH:].strip(" .") or "image"


def show_result(settings: Settings, pending: bool) -> None:
    """Show the state of the last drop; rerun the page once its batch is finished.

    Args:
        settings: Settings with the results store and the inbox.
        pending: The batch was not finished when the page was drawn.
    """
    with show_errors():
        name, _ = st.session_state["last_drop"]
        batch = _finished_batch(settings)
        if batch is None:
            inbox = {drop.name for drop in waiting_drops(settings)}
            state = "waits in the inbox" if name in inbox else "is being ingested"
            st.info(
                f"`{name}` {state}. A running service ingests it within seconds; otherwise run "
                "`tumorml ingest`.",
                icon=":material/hourglass_top:",
            )
            st.button("Refresh", icon=":material/refresh:")
            return
        if pending:
            st.rerun()
        show_message = st.success if batch["state"] == "ingested" else st.error
        show_message(f"Batch `{batch['batch']}` from the drop `{name}`: {batch['state']}.")
        if batch["reason"]:
            st.markdown(escape_markdown(batch["reason"]))
        with st.container(horizontal=True):
            for column in ("files", "taken_in", "duplicates", "refused"):
                st.metric(format_label(column), batch[column], border=True, width=130)
        refused = query_rows(settings, REFUSED_FILES, batch=batch["batch"])
        if refused:
            st.subheader("Refused files", anchor=False)
            show_table(refused)


def _finished_batch(settings: Settings) -> Row | None:
    """Return the batch of the last drop, or None while it waits or is ingested."""
    name, since = st.session_state["last_drop"]
    return next(iter(query_rows(settings, FINISHED_BATCH, name=name, since=since)), None)
