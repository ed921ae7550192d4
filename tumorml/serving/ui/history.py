"""History: every answer there ever was, filtered, to look at and to take away."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

import streamlit as st

from tumorml.csv_export import csv_writer
from tumorml.labels import LABELS, Task
from tumorml.serving.api.queries import predictions
from tumorml.serving.ui.queries import Row, rows_of
from tumorml.serving.ui.widgets import (
    at,
    heatmap_worth,
    named,
    percent,
    readable,
    scan_picture,
    stored_picture,
)
from tumorml.settings import Settings

FRESH_SECONDS = 20
"""So long what was read is shown again."""
OF_SETTINGS: dict[str | type, Callable[[Any], Any]] = {Settings: Settings.model_dump_json}
MOST = 5000
"""Rows that are shown, and taken away, at once."""
SOURCES = ("evaluation", "score", "api")
# From one caller to the next by the index: there may be millions of answers, and few callers.
CALLERS = """
    with recursive known as (
        (select caller from prediction where caller is not null order by caller limit 1)
        union all
        select (select caller from prediction where caller > known.caller order by caller limit 1)
          from known where known.caller is not null)
    select caller from known where caller is not null
"""
COLUMNS = (
    "created_at", "predicted_label", "probability", "true_label", "correct", "unlike", "source",
    "caller", "task", "model_version", "file", "batch", "scan",
)  # fmt: skip


def page(settings: Settings) -> None:
    """Filters, what they leave, and the scan of the row that is chosen."""
    wanted = filters(settings)
    rows, following = found(settings, wanted, MOST)
    if not rows:
        st.info("No prediction is like that.")
        return
    if following is None:
        st.markdown(f"{len(rows):,} prediction{'s' if len(rows) > 1 else ''}, the newest first.")
    else:
        st.warning(f"These are the newest {MOST:,} only, here and in the CSV: narrow the filters.")
    chosen = st.dataframe(
        readable(rows),
        column_order=COLUMNS,
        column_config={"scan": st.column_config.TextColumn(width="small")},
        hide_index=True,
        key="rows",
        on_select="rerun",
        selection_mode="single-row",
        placeholder="",
    )
    st.download_button(
        "Download with all columns",
        partial(csv_of, rows),
        "predictions.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    selected = chosen.selection.rows
    if selected and selected[0] < len(rows):
        details(settings, rows[selected[0]])
    else:
        st.caption("Choose a row to see its scan.")


def filters(settings: Settings) -> dict[str, Any]:
    """What is asked for, by the names that the API gives its filters."""
    labels = sorted({label for task in Task for label in LABELS[task]})
    models, callers = choices(settings)
    with st.container(horizontal=True):
        wanted: dict[str, Any] = {
            "task": _one("Task", list(map(str, Task)), named),
            "label": _one("Predicted label", labels, named),
            "true_label": _one("True label", labels, named),
            "source": _one("Source", list(SOURCES)),
            "model_version": _one("Model version", models),
            "caller": _one("Caller", callers),
        }
        days = st.date_input("Days (UTC)", [], max_value=datetime.now(UTC).date(), width=230)
    with st.container(horizontal=True):
        wanted["unlike"] = st.checkbox("Only unlike the training data", key="unlike") or None
        wanted["correct"] = False if st.checkbox("Only wrong ones", key="wrong") else None
    return wanted | between(days)


def _one(title: str, options: list[str], read: Callable[[str], str] = str) -> str | None:
    return st.selectbox(
        title, options, index=None, placeholder="any", format_func=read, key=title, width=170
    )


@st.cache_data(ttl=FRESH_SECONDS, max_entries=20, show_spinner=False, hash_funcs=OF_SETTINGS)
def found(
    settings: Settings, wanted: dict[str, Any], most: int
) -> tuple[list[dict[str, Any]], str | None]:
    """The newest predictions, and where the next ones are; a click asks for them no second time."""
    return predictions(settings, wanted, after=None, limit=most)


@st.cache_data(ttl=FRESH_SECONDS, max_entries=20, show_spinner=False, hash_funcs=OF_SETTINGS)
def choices(settings: Settings) -> tuple[list[str], list[str]]:
    """All model versions, the newest first, and all callers."""
    models = rows_of(settings, "select id from model_version order by created_at desc")
    callers = rows_of(settings, CALLERS)
    return [row["id"] for row in models], [row["caller"] for row in callers]


def between(days: date | tuple[date, ...] | None) -> dict[str, datetime]:
    """From the first day to the end of the last, in UTC; nothing where none is chosen."""
    chosen = days if isinstance(days, tuple) else (days,) if days else ()
    if not chosen:
        return {}
    first, last = (datetime.combine(day, time(), UTC) for day in (chosen[0], chosen[-1]))
    return {"since": first, "until": last + timedelta(days=1)}


def csv_of(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as UTF-8 CSV with every column; lists and dicts are written as JSON."""
    file = io.StringIO(newline="")
    writer = csv_writer(file)
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return file.getvalue().encode()


def details(settings: Settings, row: Row) -> None:
    """One answer: its scan, or its heatmap where it has one."""
    said = f"{named(row['predicted_label'])} {percent(row['probability'])}, {at(row['created_at'])}"
    if row["heatmap_key"]:
        stored_picture(settings, row["heatmap_key"], said, alt="Scan and heatmap")
        heatmap_worth(settings, row["model_version"])
    else:
        scan_picture(settings, row["scan"], said, width=256)
    st.caption(f"Scan `{row['scan']}`")
    if row["possible_labels"]:
        possible = ", ".join(map(named, row["possible_labels"]))
        st.caption(f"Possible labels, {row['confidence']:.0%} confidence: {possible}")
