"""Champion: who serves, with what numbers, who served before, and why it changed."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath

import streamlit as st
from sqlalchemy import select

from tumorml.demo import SYNTHETIC
from tumorml.objects import object_store
from tumorml.reports.facts.numbers import HEADLINES, METRIC_NAMES
from tumorml.reports.facts.verdict import outcome
from tumorml.results.session import read_session
from tumorml.results.tables import Verdict
from tumorml.serving.api.queries import champions
from tumorml.serving.ui.queries import Row, rows_of, summary_of
from tumorml.serving.ui.widgets import at, named, plain, table
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
SHOWN_VERDICTS = 10
RULES = """
    select rule, slice, result, explanation from verdict_rule
     where verdict_id = :verdict order by position
"""


def page(settings: Settings) -> None:
    """Every champion, and the last verdicts of its task."""
    serving = champions(settings)
    tasks = [row["task"] for row in rows_of(settings, "select distinct task from verdict")]
    if not serving:
        st.info("No champion serves yet.", icon=":material/hourglass_empty:")
    for champion in serving:
        st.header(named(champion["task"]).capitalize(), anchor=False)
        record(settings, champion)
        verdicts(settings, champion["task"])
    for task in sorted(set(tasks) - {row["task"] for row in serving}):
        st.header(named(task).capitalize(), anchor=False)
        verdicts(settings, task)


def record(settings: Settings, champion: Row) -> None:
    """Who serves a task, its numbers, its files, and who served before."""
    pinned = ", **pinned**" if champion["pinned"] else ""
    st.markdown(
        f"`{champion['model_version']}` of the recipe `{champion['recipe']}` serves since "
        f"{at(champion['since'])}{pinned}: {champion['change']} by {plain(champion['who'])}"
    )
    st.caption(plain(champion["why"]))
    serving = summary_of(settings, champion["model_version"])
    if serving is not None and serving.synthetic:
        st.warning(SYNTHETIC, icon=":material/warning:")
    with st.container(horizontal=True):
        for name in HEADLINES:
            number = champion["metrics"].get(name)
            if number is not None and number["value"] is not None:
                st.metric(
                    sentence(METRIC_NAMES[name].split(" (")[0]),
                    f"{number['value']:.3f}",
                    interval(number),
                    delta_color="off",
                    delta_arrow="off",
                    border=True,
                    width=150,
                )
    scans = {number["scans"] for number in champion["metrics"].values()}
    if scans:
        st.caption(f"On {max(scans):,} test scans, with 95 % intervals.")
    history = rows_of(settings, HISTORY, task=champion["task"])
    reports(settings, history[0]["run"])
    with st.expander(f"Who served ({len(history)})", expanded=len(history) > 1):
        table(history)


def interval(number: Row) -> str:
    """The bounds of a metric, where it has some."""
    if number["low"] is None or number["high"] is None:
        return "no interval"
    return f"{number['low']:.3f} to {number['high']:.3f}"


def reports(settings: Settings, run: str) -> None:
    """What was written about a run, to take away."""
    files = rows_of(settings, REPORTS, run=run)
    if not files:
        st.caption(f"There is no report of the run {run}.")
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
    st.caption(f"They lie in `{store.display(f'runs/{run}')}`")


def verdicts(settings: Settings, task: str) -> None:
    """The last verdicts, and the rules of one of them."""
    with read_session(settings) as session:
        found = session.scalars(
            select(Verdict)
            .where(Verdict.task == task)
            .order_by(Verdict.created_at.desc())
            .limit(SHOWN_VERDICTS)
        ).all()
    if not found:
        return
    st.subheader("Last verdicts", anchor=False)
    table(
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
    by_title = {f"{at(one.created_at)}, {outcome(one)}, {one.id}": one for one in found}
    chosen = by_title[st.selectbox("Rules of the verdict of", by_title, key=f"verdict-{task}")]
    st.caption(plain(chosen.reason))
    rules = rows_of(settings, RULES, verdict=chosen.id)
    passed = sum(rule["result"] == "passed" for rule in rules)
    with st.expander(f"{len(rules)} rules, {passed} of them passed"):
        st.table(rules, hide_index=True)


def sentence(words: str) -> str:
    """Words with a capital letter."""
    return words[:1].upper() + words[1:]
