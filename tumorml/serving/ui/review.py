"""Page "Review": label conflicts, disagreements of two models, and confident errors."""

from __future__ import annotations

from pathlib import PurePosixPath

import streamlit as st

from tumorml.datasets.labeling import settle_labels
from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.serving.ui.queries import Row, latest_evaluation, query_rows
from tumorml.serving.ui.widgets import (
    escape_markdown,
    format_label,
    format_percent,
    show_heatmap_claim,
    show_scan,
    show_stored_image,
)
from tumorml.settings import Settings

MAX_ROWS = 10
CONFIDENT = 0.9
"""Probability above which an error counts as confident."""
CONFLICTS = """
    select *, count(*) over () as total from label_conflict
     order by scan, other_scan nulls first limit :max_rows
"""
DISAGREEMENTS = """
    select * from (
        select distinct on (scan) * from disagreement where task = :task
         order by scan, created_at desc) latest
     order by greatest(champion_probability, challenger_probability) desc limit :max_rows
"""
CONFIDENT_ERRORS = """
    select scan_id as scan, true_label, label, probability, heatmap_key from prediction
     where run_id = :run and model_version_id = :model
       and label <> true_label and probability > :threshold
     order by probability desc limit :max_rows
"""
TABS = ("Label conflicts", "Disagreements", "Confident errors")


def page(settings: Settings) -> None:
    """Show the chosen list."""
    chosen = st.segmented_control("Show", TABS, default=TABS[0], required=True, key="list")
    if chosen == TABS[0]:
        show_conflicts(settings)
        return
    task = st.segmented_control(
        "Task", list(map(str, Task)), default=str(Task.FOUR_CLASS), required=True,
        format_func=format_label, key="task",
    )  # fmt: skip
    if chosen == TABS[1]:
        show_disagreements(settings, task)
    else:
        show_confident_errors(settings, task)


def show_conflicts(settings: Settings) -> None:
    """Show scans with contradicting labels, each with a form to settle the label."""
    rows = query_rows(settings, CONFLICTS, max_rows=MAX_ROWS)
    if "settled" in st.session_state:
        st.success(st.session_state.pop("settled"), icon=":material/check:")
    if not rows:
        st.info("There are no label conflicts.", icon=":material/check:")
        return
    st.markdown(
        f"Conflicts: **{rows[0]['total']:,}**. Their scans are not used until they are settled."
    )
    for row in rows:
        with st.container(border=True):
            show_conflict(settings, row)


def show_conflict(settings: Settings, row: Row) -> None:
    """Show the scans of a conflict side by side, and a form to settle the label."""
    scans = [scan for scan in (row["scan"], row["other_scan"]) if scan]
    labels = row["labels"].split(", ")
    left, right = st.columns([1, 1], gap="medium")
    with left, st.container(horizontal=True):
        files = (row["file"], row["other_file"])
        captions = labels if row["other_scan"] else [" or ".join(map(format_label, labels))]
        for scan, file, label in zip(scans, files, captions, strict=False):
            place = escape_markdown("/".join(PurePosixPath(file).parts[-2:]))
            show_scan(settings, scan, f"{format_label(label)}: {place}", width=150)
    with right, st.form(f"settle-{'-'.join(scans)}", border=False):
        st.markdown(f"**{row['conflict'].capitalize()}**")
        all_labels = [name for task in Task for name in LABELS[task]]
        label = st.radio(
            "Correct label", list(dict.fromkeys([*labels, *all_labels])), index=None,
            format_func=format_label, horizontal=True,
        )  # fmt: skip
        reason = st.text_input("Reason", placeholder="for example: pathology report of 3 May")
        who = st.text_input("Your name", value=st.session_state.get("who", ""))
        if st.form_submit_button("Settle label", type="primary"):
            settle(settings, scans, label, reason=reason, who=who)
            st.session_state["who"] = who
            st.session_state["settled"] = f"Label settled: {format_label(label or '')}."
            st.rerun()


def settle(
    settings: Settings, scans: list[str], label: str | None, *, reason: str, who: str
) -> None:
    """Settle the label of a scan, or of two scans that are copies of each other.

    Raises:
        TumorMLError: The label, the reason or the name is missing.
    """
    if label is None or not who.strip():
        raise TumorMLError("Choose the correct label and enter your name.")
    settle_labels(settings, scans, label, reason=reason, who=who.strip())


def show_disagreements(settings: Settings, task: str) -> None:
    """Show test scans with different predictions of champion and challenger."""
    rows = query_rows(settings, DISAGREEMENTS, task=task, max_rows=MAX_ROWS)
    if not rows:
        st.info("No challenger has disagreed with a champion yet.")
    with st.container(horizontal=True):
        for row in rows:
            with st.container(width=280, border=True):
                show_scan(settings, row["scan"], f"true label: {format_label(row['true_label'])}")
                for role in ("champion", "challenger"):
                    label, probability = row[f"{role}_label"], row[f"{role}_probability"]
                    mark = "check" if label == row["true_label"] else "close"
                    st.markdown(
                        f":material/{mark}: {role}: **{format_label(label)}** "
                        f"{format_percent(probability)}  \n`{row[role]}`"
                    )
                st.caption(f"Scan `{row['scan'][:16]}`, verdict {row['verdict']}")


def show_confident_errors(settings: Settings, task: str) -> None:
    """Show test scans that the champion predicts wrongly with a high probability."""
    evaluation = latest_evaluation(settings, task)
    rows = query_rows(
        settings, CONFIDENT_ERRORS, threshold=CONFIDENT, max_rows=MAX_ROWS, **evaluation
    )
    if not rows:
        st.info(
            f"The champion has no wrong test prediction with a probability above {CONFIDENT:.0%}."
        )
    else:
        st.markdown(
            "Either the champion or the label is wrong. To correct a label, run `tumorml label`."
        )
    if any(row["heatmap_key"] for row in rows):
        show_heatmap_claim(settings, evaluation["model"])
    for row in rows:
        caption = (
            f"predicted: {format_label(row['label'])} {format_percent(row['probability'])}, "
            f"true label: {format_label(row['true_label'])}, scan {row['scan'][:16]}"
        )
        if row["heatmap_key"]:
            show_stored_image(settings, row["heatmap_key"], caption, alt="Scan and heatmap")
        else:
            show_scan(settings, row["scan"], caption, width=256)
