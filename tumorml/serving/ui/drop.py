"""Drop a batch: images or an archive into the inbox, and what became of them."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.scans.inbox.drops import put_drop, waiting_drops
from tumorml.scans.inbox.names import archive_suffix, unique
from tumorml.serving.ui.queries import Row, rows_of
from tumorml.serving.ui.widgets import named, plain, table, told
from tumorml.settings import Settings

NO_LABEL, AS_PACKED = "not labelled", "as the archive's folders or manifest say"
FINISHED = """
    select * from batch_summary
     where drop_name = :name and claimed_at >= :since and state <> 'waiting'
     order by claimed_at desc limit 1
"""
REFUSED = """
    select path as file, reason from batch_file
     where batch_id = :batch and outcome = 'refused' order by path limit 500
"""
POLL_SECONDS = 2.0
_NAME_LETTERS = 50
"""At most four bytes each, of the 255 that a disk takes; some are added to names alike."""


def page(settings: Settings) -> None:
    """A form, and the batch that came of it."""
    number = st.session_state.setdefault("drops", 0)  # a form that did its work makes room
    with st.form(f"drop-{number}"):
        files = st.file_uploader(
            "Images, or one zip or tar", accept_multiple_files=True, key=f"dropped-{number}"
        )
        labels = list(dict.fromkeys(label for task in Task for label in LABELS[task]))
        label = st.selectbox("Label", [NO_LABEL, AS_PACKED, *labels], format_func=named)
        left, right = st.columns(2)
        patient = left.text_input(
            "Patient id",
            placeholder="only where all images are of one patient",
            help="A pseudonym, never a name. It keeps one patient on one side of the split.",
        )
        site = right.text_input("Site", placeholder="where it was acquired")
        sent = st.form_submit_button("Drop", type="primary", icon=":material/upload:")
    st.caption(
        "An archive is labelled by its folders (`glioma/1.png`) or by a `manifest.csv`. What is "
        "larger than this page takes goes by `tumorml drop`."
    )
    if sent:
        (row,) = rows_of(settings, "select now() as moment")
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
        awaited = _batch(settings) is None
        st.fragment(became, run_every=POLL_SECONDS if awaited else None)(settings, awaited)


def drop_files(
    settings: Settings,
    files: Sequence[tuple[str, bytes]],
    *,
    label: str,
    patient_id: str = "",
    site: str = "",
) -> str:
    """Put files into the inbox as one drop: an archive as it is, images with a manifest.

    Args:
        settings: Where.
        files: Their names and contents.
        label: One that folders may have, `NO_LABEL`, or, for an archive, `AS_PACKED`.
        patient_id: Of all images; may be empty.
        site: Of all images; may be empty.

    Returns:
        The drop's name.

    Raises:
        TumorMLError: There are no files, or they do not go with the label.
    """
    archives = [name for name, _ in files if archive_suffix(name)]
    if not files:
        raise TumorMLError("Choose images or an archive first.")
    if archives and len(files) > 1:
        raise TumorMLError(f"Drop {archives[0]} by itself: an archive is a whole drop.")
    if archives and (label != AS_PACKED or patient_id or site):
        raise TumorMLError(
            f"{archives[0]} brings its own labels, patients and sites: choose “{AS_PACKED}”, and "
            "leave the other fields empty."
        )
    if not archives and label == AS_PACKED:
        raise TumorMLError(f"“{AS_PACKED}” goes with a zip or tar, not with images.")
    name = f"page-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if archives:
            suffix = archive_suffix(archives[0]) or ""
            path = folder / f"{name}{suffix}"
            path.write_bytes(files[0][1])
            return put_drop(settings, path)
        (folder / "images").mkdir()
        taken: set[str] = set()
        with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
            manifest = csv.writer(file)
            manifest.writerow(["path", "label", "patient_id", "site"])
            for called, data in files:
                path = folder / "images" / unique(_name(called), taken)
                path.write_bytes(data)
                said = "" if label == NO_LABEL else label
                manifest.writerow([f"images/{path.name}", said, patient_id, site])
        return put_drop(settings, folder, name)


def _name(called: str) -> str:
    """The end of an uploaded file's name, of letters and signs that any disk takes."""
    kept = "".join(one if one.isalnum() or one in " ._-()" else "_" for one in called)
    return kept[-_NAME_LETTERS:].strip(" .") or "image"


def became(settings: Settings, awaited: bool) -> None:
    """What became of the last drop; once it is known, it is asked for no more."""
    with told():
        name, _ = st.session_state["last_drop"]
        batch = _batch(settings)
        if batch is None:
            inbox = {drop.name for drop in waiting_drops(settings)}
            where = "waits in the inbox" if name in inbox else "is being taken in"
            st.info(
                f"`{name}` {where}. A running service takes it in within seconds; without one, "
                "`tumorml ingest` does.",
                icon=":material/hourglass_top:",
            )
            st.button("Look again", icon=":material/refresh:")
            return
        if awaited:
            st.rerun()
        kind = st.success if batch["state"] == "ingested" else st.error
        kind(f"`{name}` became the batch `{batch['batch']}`: {batch['state']}.")
        if batch["reason"]:
            st.markdown(plain(batch["reason"]))
        with st.container(horizontal=True):
            for column in ("files", "taken_in", "duplicates", "refused"):
                st.metric(named(column), batch[column], border=True, width=130)
        refused = rows_of(settings, REFUSED, batch=batch["batch"])
        if refused:
            st.subheader("Refused", anchor=False)
            table(refused)


def _batch(settings: Settings) -> Row | None:
    """That of the last drop, once it is taken in."""
    name, since = st.session_state["last_drop"]
    return next(iter(rows_of(settings, FINISHED, name=name, since=since)), None)
