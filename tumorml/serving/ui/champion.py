"""Page "Champion": the champion of each task, its metrics, its history and its verdicts."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath

import streamlit as st
from sqlalchemy import select

from tumorml.demo import SYNTHETIC
from tumorml.objects import object_store
from tumorml.objects.keys import report_key
from tumorml.reports.facts.numbers import HEADLINES, METRIC_NAMES
from tumorml.reports.facts.verdict import outcome
from tumorml.results.session import read_session
from tumorml.results.tables import Verdict
from tumorml.serving.api.queries import read_champions
from tumorml.serving.ui.queries import Row, query_rows, summarize_champion
from tumorml.serving.ui.widgets import escape_markdown, format_label, format_time, show_table
from tumorml.settings import Settings

REPORTS = """
    select object_key, media_type from artifact
     where run_id = :run and kind in ('model_card', 'report', 'report_pdf', 'deck')
     order by object_key
"""
HISTORY = """
    select since, until, change, model_version, recipe, who, why, pinned,
           f1_macro_when_trained, run
      from champion_history where task = :task order by since desc limit 50
"""
MAX_VERDICTS = 10
RULES = """
    select rule, slice, result, explanation from verdict_rule
     where verdict_id = :verdict order by position
"""


def page(settings: Settings) -> None:
    """Show the champion and the latest verdicts of each task."""
    champions = read_champions(settings)
    tasks = [row["task"] for row in query_rows(settings, "select distinct task from verdict")]
    if not champions:
        st.info("There is no champion yet.", icon=":material/hourglass_empty:")
    for champion in champions:
        st.header(format_label(champion["task"]).capitalize(), anchor=False)
        show_champion(settings, champion)
        show_verdicts(settings, champion["task"])
    for task in sorted(set(tasks) - {row["task"] for row in champions}):
        st.header(format_label(task).capitalize(), anchor=False)
        show_verdicts(settings, task)


def show_champion(settings: Settings, champion: Row) -> None:
    """Show the champion of a task, its metrics and reports, and the earlier champions."""
    pinned = ", **pinned**" if champion["pinned"] else ""
    st.markdown(
        f"`{champion['model_version']}` (recipe `{champion['recipe']}`), champion since "
        f"{format_time(champion['since'])}{pinned}: {champion['change']} by "
        f"{escape_markdown(champion['who'])}"
    )
    st.caption(escape_markdown(champion["why"]))
    summary = summarize_champion(settings, champion["model_version"])
    if summary is not None and summary.synthetic:
        st.warning(SYNTHETIC, icon=":material/warning:")
    with st.container(horizontal=True):
        for name in HEADLINES:
            number = champion["metrics"].get(name)
            if number is not None and number["value"] is not None:
                st.metric(
                    capitalize_first(METRIC_NAMES[name].split(" (")[0]),
                    f"{number['value']:.3f}",
                    format_interval(number),
                    delta_color="off",
                    delta_arrow="off",
                    border=True,
                    width=150,
                )
    scans = {number["scans"] for number in champion["metrics"].values()}
    if scans:
        st.caption(f"Measured on {max(scans):,} test scans, with 95 % intervals.")
    history = query_rows(settings, HISTORY, task=champion["task"])
    show_reports(settings, history[0]["run"])
    with st.expander(f"Champion history ({len(history)})", expanded=len(history) > 1):
        show_table(history)


def format_interval(number: Row) -> str:
    """Return the 95 % interval of a metric as text."""
    if number["low"] is None or number["high"] is None:
        return "no interval"
    return f"{number['low']:.3f} to {number['high']:.3f}"


def show_reports(settings: Settings, run: str) -> None:
    """Show download buttons for the reports of a run."""
    files = query_rows(settings, REPORTS, run=run)
    if not files:
        st.caption(f"The run {run} has no report.")
        return
    store = object_store(settings)
    with st.container(horizontal=True):
        for file in files:
            name = PurePosixPath(file["object_key"]).name
            st.download_button(
                name,
                partial(store.read, file["object_key"]),
                f"{run}-{name}",
                file["media_type"],
                key=file["object_key"],
                icon=":material/download:",
                on_click="ignore",
            )
    folder = str(PurePosixPath(report_key(run)).parent)
    st.caption(f"Stored in `{store.display(folder)}`")


def show_verdicts(settings: Settings, task: str) -> None:
    """Show the latest verdicts of a task, and the rules of a chosen one."""
    with read_session(settings) as session:
        found = session.scalars(
            select(Verdict)
            .where(Verdict.task == task)
            .order_by(Verdict.created_at.desc())
            .limit(MAX_VERDICTS)
        ).all()
    if not found:
        return
    st.subheader("Latest verdicts", anchor=False)
    show_table(
        [
            {
                "created_at": one.created_at,
                "outcome": outcome(one),
                "approval": one.approval,
                "reason": one.reason,
                "challenger": one.challenger_id,
                "champion": one.champion_id,
                "run": one.run_id,
            }
            for one in found
        ]
    )
    by_title = {f"{format_time(one.created_at)}, {outcome(one)}, {one.id}": one for one in found}
    chosen = by_title[st.selectbox("Show the rules of", by_title, key=f"verdict-{task}")]
    st.caption(escape_markdown(chosen.reason))
    rules = query_rows(settings, RULES, verdict=chosen.id)
    passed = sum(rule["result"] == "passed" for rule in rules)
    with st.expander(f"{passed} of {len(rules)} rules passed"):
        st.table(rules, hide_index=True)


def capitalize_first(name: str) -> str:
    """Return a name with its first letter in upper case."""
    return name[:1].upper() + name[1:]
