"""Review: labels that contradict, and answers that are surely wrong or surely two."""

from __future__ import annotations

from pathlib import PurePosixPath

import streamlit as st

from tumorml.datasets.labelling import settle_labels
from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.serving.ui.queries import Row, latest_evaluation, rows_of
from tumorml.serving.ui.widgets import (
    heatmap_worth,
    named,
    percent,
    plain,
    scan_picture,
    stored_picture,
)
from tumorml.settings import Settings

SHOWN = 10
SURE = 0.9
CONFLICTS = """
    select *, count(*) over () as in_all from label_conflict
     order by scan, other_scan nulls first limit :shown
"""
DISAGREEMENTS = """
    select * from (
        select distinct on (scan) * from disagreement where task = :task
         order by scan, created_at desc) latest
     order by greatest(champion_probability, challenger_probability) desc limit :shown
"""
WRONG = """
    select scan_id as scan, true_label, label, probability, heatmap_key from prediction
     where run_id = :run and model_version_id = :model
       and label <> true_label and probability > :sure
     order by probability desc limit :shown
"""
TABS = ("Label conflicts", "Disagreements", "Surely wrong")


def page(settings: Settings) -> None:
    """One of three lists."""
    chosen = st.segmented_control("Show", TABS, default=TABS[0], required=True, key="list")
    if chosen == TABS[0]:
        conflicts(settings)
        return
    task = st.segmented_control(
        "Task", list(map(str, Task)), default=str(Task.FOUR_CLASS), required=True,
        format_func=named, key="task",
    )  # fmt: skip
    if chosen == TABS[1]:
        disagreements(settings, task)
    else:
        surely_wrong(settings, task)


def conflicts(settings: Settings) -> None:
    """Scans with two labels, each with a form that settles it."""
    rows = rows_of(settings, CONFLICTS, shown=SHOWN)
    if "settled" in st.session_state:
        st.success(st.session_state.pop("settled"), icon=":material/check:")
    if not rows:
        st.info("No labels contradict.", icon=":material/check:")
        return
    st.markdown(
        f"Conflicts: **{rows[0]['in_all']:,}**. Their scans are held out until they are settled."
    )
    for row in rows:
        with st.container(border=True):
            conflict(settings, row)


def conflict(settings: Settings, row: Row) -> None:
    """The scans of a conflict side by side, and a form."""
    scans = [scan for scan in (row["scan"], row["other_scan"]) if scan]
    labels = row["labels"].split(", ")
    left, right = st.columns([1, 1], gap="medium")
    with left, st.container(horizontal=True):
        files = (row["file"], row["other_file"])
        said = labels if row["other_scan"] else [" or ".join(map(named, labels))]
        for scan, file, label in zip(scans, files, said, strict=False):
            place = "/".join(PurePosixPath(file).parts[-2:])
            scan_picture(settings, scan, f"{named(label)}: {plain(place)}", width=150)
    with right, st.form(f"settle-{'-'.join(scans)}", border=False):
        st.markdown(f"**{row['conflict'].capitalize()}**")
        others = [name for task in Task for name in LABELS[task]]
        label = st.radio(
            "It shows", list(dict.fromkeys([*labels, *others])), index=None,
            format_func=named, horizontal=True,
        )  # fmt: skip
        reason = st.text_input("Reason", placeholder="pathology report of 3 May")
        who = st.text_input("Your name", value=st.session_state.get("who", ""))
        if st.form_submit_button("Settle", type="primary"):
            settle(settings, scans, label, reason=reason, who=who)
            st.session_state["who"] = who
            st.session_state["settled"] = f"Settled: {named(label or '')}."
            st.rerun()


def settle(
    settings: Settings, scans: list[str], label: str | None, *, reason: str, who: str
) -> None:
    """Settle what scans show: one, or two that are one picture.

    Raises:
        TumorMLError: The label, the reason or the name is missing.
    """
    if label is None or not who.strip():
        raise TumorMLError("Say what it shows, and who says so.")
    settle_labels(settings, scans, label, reason=reason, who=who.strip())


def disagreements(settings: Settings, task: str) -> None:
    """Where a champion and its challenger differed, the surest first."""
    rows = rows_of(settings, DISAGREEMENTS, task=task, shown=SHOWN)
    if not rows:
        st.info("No challenger has differed from a champion.")
    with st.container(horizontal=True):
        for row in rows:
            with st.container(width=280, border=True):
                scan_picture(settings, row["scan"], f"known to be {named(row['true_label'])}")
                for who in ("champion", "challenger"):
                    label, probability = row[f"{who}_label"], row[f"{who}_probability"]
                    mark = "check" if label == row["true_label"] else "close"
                    st.markdown(
                        f":material/{mark}: {who}: **{named(label)}** {percent(probability)}  \n"
                        f"`{row[who]}`"
                    )
                st.caption(f"Scan `{row['scan'][:16]}`, verdict {row['verdict']}")


def surely_wrong(settings: Settings, task: str) -> None:
    """Where the champion is wrong about a test scan, and sure; or its label is wrong."""
    evaluation = latest_evaluation(settings, task)
    rows = rows_of(settings, WRONG, sure=SURE, shown=SHOWN, **evaluation)
    if not rows:
        st.info(f"The champion is wrong about no test scan with more than {SURE:.0%}.")
    else:
        st.markdown("Either the champion is wrong, or the label: `tumorml label` settles one.")
    if any(row["heatmap_key"] for row in rows):
        heatmap_worth(settings, evaluation["model"])
    for row in rows:
        said = (
            f"{named(row['label'])} {percent(row['probability'])}, known to be "
            f"{named(row['true_label'])}; scan {row['scan'][:16]}"
        )
        if row["heatmap_key"]:
            stored_picture(settings, row["heatmap_key"], said, alt="Scan and heatmap")
        else:
            scan_picture(settings, row["scan"], said, width=256)
