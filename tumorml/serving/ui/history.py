"""Page "History": all recorded predictions, with filters and a CSV download."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

import streamlit as st

from tumorml.csv_export import csv_writer
from tumorml.labels import LABELS, Task
from tumorml.serving.api.queries import read_predictions
from tumorml.serving.ui.queries import Row, query_rows
from tumorml.serving.ui.widgets import (
    format_label,
    format_percent,
    format_time,
    format_times,
    show_heatmap_claim,
    show_scan,
    show_stored_image,
)
from tumorml.settings import Settings

CACHE_SECONDS = 20
"""Time for which query results are reused."""
HASH_FUNCTIONS: dict[str | type, Callable[[Any], Any]] = {Settings: Settings.model_dump_json}
MAX_ROWS = 5000
"""Maximum number of rows in the table and in the CSV file."""
SOURCES = ("evaluation", "score", "api")
# A loose index scan: there may be millions of predictions and only a few callers.
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
    """Show the filters, the matching predictions and the scan of the selected row."""
    rows, next_page = cached_predictions(settings, show_filters(settings), MAX_ROWS)
    if not rows:
        st.info("No prediction matches the filters.")
        return
    if next_page is None:
        st.markdown(f"{len(rows):,} prediction{'s' if len(rows) > 1 else ''}, newest first.")
    else:
        st.warning(
            f"The table and the CSV file contain only the newest {MAX_ROWS:,} predictions. Narrow "
            "the filters to see older predictions."
        )
    table = st.dataframe(
        format_times(rows),
        column_order=COLUMNS,
        column_config={"scan": st.column_config.TextColumn(width="small")},
        hide_index=True,
        key="rows",
        on_select="rerun",
        selection_mode="single-row",
        placeholder="",
    )
    st.download_button(
        "Download CSV",
        partial(predictions_csv, rows),
        "predictions.csv",
        "text/csv",
        icon=":material/download:",
        help="All columns, including patient id, site and file name.",
        on_click="ignore",
    )
    selected = table.selection.rows
    if selected and selected[0] < len(rows):
        show_details(settings, rows[selected[0]])
    else:
        st.caption("Select a row to see its scan.")


def show_filters(settings: Settings) -> dict[str, Any]:
    """Show the filters; return their values by the names of the API's query parameters."""
    labels = sorted({label for task in Task for label in LABELS[task]})
    models, callers = filter_choices(settings)
    with st.container(horizontal=True):
        filters: dict[str, Any] = {
            "task": _select("Task", list(map(str, Task)), format_label),
            "label": _select("Predicted label", labels, format_label),
            "true_label": _select("True label", labels, format_label),
            "source": _select("Source", list(SOURCES)),
            "model_version": _select("Model version", models),
            "caller": _select("Caller", callers),
        }
        days = st.date_input("Days (UTC)", [], max_value=datetime.now(UTC).date(), width=230)
    with st.container(horizontal=True):
        only_unlike = st.checkbox("Only scans unlike the training data", key="unlike")
        only_wrong = st.checkbox("Only wrong predictions", key="wrong")
    filters["unlike"] = only_unlike or None
    filters["correct"] = False if only_wrong else None
    return filters | day_range(days)


def _select(
    title: str, options: list[str], format_option: Callable[[str], str] = str
) -> str | None:
    return st.selectbox(
        title,
        options,
        index=None,
        placeholder="any",
        format_func=format_option,
        key=title,
        width=170,
    )


@st.cache_data(ttl=CACHE_SECONDS, max_entries=20, show_spinner=False, hash_funcs=HASH_FUNCTIONS)
def cached_predictions(
    settings: Settings, filters: dict[str, Any], max_rows: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the newest predictions and the cursor of the next ones.

    Streamlit calls this function at every click on the page; the cache avoids the query.
    """
    return read_predictions(settings, filters, after=None, limit=max_rows)


@st.cache_data(ttl=CACHE_SECONDS, max_entries=20, show_spinner=False, hash_funcs=HASH_FUNCTIONS)
def filter_choices(settings: Settings) -> tuple[list[str], list[str]]:
    """Return all model versions, newest first, and all callers."""
    models = query_rows(settings, "select id from model_version order by created_at desc")
    callers = query_rows(settings, CALLERS)
    return [row["id"] for row in models], [row["caller"] for row in callers]


def day_range(days: date | tuple[date, ...] | None) -> dict[str, datetime]:
    """Return the filters ``since`` and ``until`` for days in UTC; no filters without a day."""
    chosen = days if isinstance(days, tuple) else (days,) if days else ()
    if not chosen:
        return {}
    first, last = (datetime.combine(day, time(), UTC) for day in (chosen[0], chosen[-1]))
    return {"since": first, "until": last + timedelta(days=1)}


def predictions_csv(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as UTF-8 CSV with every column; lists and dicts are written as JSON."""
    file = io.StringIO(newline="")
    writer = csv_writer(file)
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return file.getvalue().encode()


def show_details(settings: Settings, row: Row) -> None:
    """Show the heatmap of a prediction, or the scan if there is none."""
    caption = (
        f"{format_label(row['predicted_label'])} {format_percent(row['probability'])}, "
        f"{format_time(row['created_at'])}"
    )
    if row["heatmap_key"]:
        show_stored_image(settings, row["heatmap_key"], caption, alt="Scan and heatmap")
        show_heatmap_claim(settings, row["model_version"])
    else:
        show_scan(settings, row["scan"], caption, width=256)
    st.caption(f"Scan `{row['scan']}`")
    if row["possible_labels"]:
        possible = ", ".join(map(format_label, row["possible_labels"]))
        st.caption(f"Possible labels, {row['confidence']:.0%} confidence: {possible}")
