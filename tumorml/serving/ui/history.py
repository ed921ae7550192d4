"""History: every answer there ever was, filtered, to look at and to take away."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import streamlit as st

from tumorml.labels import LABELS, Task
from tumorml.serving.api.history import predictions
from tumorml.serving.ui.store import Row, rows_of
from tumorml.serving.ui.widgets import at, named, percent, readable, scan_picture, stored_picture
from tumorml.settings import Settings

MOST = 5000
"""Rows that are shown, and taken away, at once."""
SOURCES = ("evaluation", "score", "api")
COLUMNS = (
    "created_at", "predicted_label", "probability", "true_label", "correct", "unlike", "source",
    "caller", "task", "model_version", "file", "batch", "scan",
)  # fmt: skip


def page(settings: Settings) -> None:
    """Filters, what they leave, and the scan of the row that is chosen."""
    wanted = filters(settings)
    rows, following = predictions(settings, wanted, after=None, limit=MOST)
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
        csv_of(rows),
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
    models = [
        row["id"]
        for row in rows_of(settings, "select id from model_version order by created_at desc")
    ]
    callers = [
        row["caller"]
        for row in rows_of(
            settings,
            "select distinct caller from prediction where caller is not null order by caller",
        )
    ]
    with st.container(horizontal=True):
        wanted: dict[str, Any] = {
            "task": _one("Task", list(map(str, Task))),
            "label": _one("Predicted label", labels),
            "true_label": _one("True label", labels),
            "source": _one("Source", list(SOURCES)),
            "model_version": _one("Model version", models),
            "caller": _one("Caller", callers),
        }
        days = st.date_input("Days (UTC)", [], max_value=datetime.now(UTC).date(), width=230)
    with st.container(horizontal=True):
        wanted["unlike"] = st.checkbox("Only unlike the training data", key="unlike") or None
        wanted["correct"] = False if st.checkbox("Only wrong ones", key="wrong") else None
    return wanted | between(days)


def _one(title: str, options: list[str]) -> str | None:
    return st.selectbox(
        title, options, index=None, placeholder="any", format_func=named, key=title, width=170
    )


def between(days: date | tuple[date, ...] | None) -> dict[str, datetime]:
    """From the first day to the end of the last, in UTC; nothing where none is chosen."""
    chosen = days if isinstance(days, tuple) else (days,) if days else ()
    if not chosen:
        return {}
    first, last = (datetime.combine(day, time(), UTC) for day in (chosen[0], chosen[-1]))
    return {"since": first, "until": last + timedelta(days=1)}


def csv_of(rows: list[dict[str, Any]]) -> bytes:
    """Rows as a CSV with every column, UTF-8."""
    import pandas as pd

    return pd.DataFrame(rows).to_csv(index=False).encode()


def details(settings: Settings, row: Row) -> None:
    """One answer: its scan, or its heatmap where it has one."""
    said = f"{named(row['predicted_label'])} {percent(row['probability'])}, {at(row['created_at'])}"
    if row["heatmap_key"]:
        stored_picture(settings, row["heatmap_key"], said, alt="Scan and heatmap")
    else:
        scan_picture(settings, row["scan"], said, width=256)
    st.caption(f"Scan `{row['scan']}`")
    if row["possible_labels"]:
        possible = ", ".join(map(named, row["possible_labels"]))
        st.caption(f"Possible labels, {row['confidence']:.0%} confidence: {possible}")
