"""The overview page in the Airflow UI, from rows of a real results store."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sqlalchemy import update

from tests.factories.answers import random_answers
from tests.factories.reports import CHALLENGER, RUN, judged_run
from tests.factories.rows import Dropped, add_batch, run_row
from tests.factories.verdicts import TASK, winning_verdict
from tumorml.airflow_plugin import pages
from tumorml.demo import SYNTHETIC_DROP
from tumorml.promotion.champion import replace_champion
from tumorml.reports.facts.overview import SHOWN_VERDICTS
from tumorml.reports.run.write_run_report import KINDS, write_run_report
from tumorml.results.session import write_session
from tumorml.results.tables import Batch, BatchFile, Evaluation, Leak, Run
from tumorml.results.twin_kinds import TwinKind
from tumorml.settings import Settings

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def overview(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """A function that returns the HTML of the page."""
    monkeypatch.setattr(pages, "get_settings", lambda: settings)
    return lambda: bytes(pages.overview().body).decode()


def between(page: str, begin: str, end: str) -> str:
    return page[page.index(begin) : page.index(end, page.index(begin))]


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def make_champion(
    settings: Settings, *, who: str = "ann", why: str = "calm", pinned: bool = False
) -> None:
    with write_session(settings) as session:
        replace_champion(session, TASK, CHALLENGER, change="pin", who=who, why=why, pinned=pinned)


def test_empty_store_explains_the_first_drop(
    settings: Settings, overview: Callable[[], str]
) -> None:
    page = words(overview())
    assert "tumorml drop" in page and str(settings.home / "objects" / "inbox") in page
    assert page.count("No champion yet.") == page.count("No verdict yet.") == 2


def test_without_champion_the_page_names_the_retraining_dag(
    settings: Settings, overview: Callable[[], str]
) -> None:
    add_batch(settings, "b", [Dropped("one", "glioma")])
    page = words(overview())
    assert "Start the DAG retrain_champion" in page and "tumorml drop" not in page


def test_champion_is_shown_with_reason_numbers_and_files(
    settings: Settings, overview: Callable[[], str]
) -> None:
    judged_run(settings, random_answers(1, 200), pointing=(0.8, 0.7, 0.9))
    write_run_report(settings, RUN)
    make_champion(settings, pinned=True)
    shown = between(overview(), 'id="four_class"', "Recent verdicts")
    assert CHALLENGER in shown and "(pin by ann): calm" in words(shown) and "Pinned:" in shown
    assert "SYNTHETIC" not in shown
    with write_session(settings) as session:
        key = (RUN, CHALLENGER, "test", "f1_macro", "all")
        row = session.get_one(Evaluation, key)
        numbers = f"F1, macro {row.value:.3f} {row.low:.3f} to {row.high:.3f}"
    assert numbers in words(shown)
    assert "beats both baselines that ignore the scan" in shown
    assert all(f"/tumorml/files/runs/{RUN}/{name}" in shown for name in KINDS)


def test_heatmaps_below_a_baseline_are_a_warning(
    settings: Settings, overview: Callable[[], str]
) -> None:
    judged_run(settings, random_answers(1, 60), pointing=(0.3, 0.2, 0.4))
    make_champion(settings)
    assert '<p class="warning">The hottest point' in overview()
    assert "always the same pixel (30 %)" in overview()


def test_champion_of_synthetic_scans_is_a_warning(
    settings: Settings, overview: Callable[[], str]
) -> None:
    judged_run(settings, random_answers(1, 60))
    with write_session(settings) as session:
        session.execute(update(Batch).values(drop_name=SYNTHETIC_DROP))
    make_champion(settings)
    assert "The model was trained on SYNTHETIC scans only" in overview()


def test_waiting_verdicts_come_first_and_old_ones_are_left_out(
    settings: Settings, overview
) -> None:
    winning_verdict(settings, "asked")
    for number in range(SHOWN_VERDICTS):
        winning_verdict(settings, f"{number}", approval=None)
    verdicts = between(overview(), '<ol class="rows">', "</ol>")
    runs = re.findall(r">(r-\w+)</a>", verdicts)
    newest = [f"r-{number}" for number in reversed(range(1, SHOWN_VERDICTS))]
    assert runs == ["r-asked", *newest]
    assert "Approval required, because the policy requires approval of every winner" in verdicts
    assert verdicts.count('class="waiting"') == 1


def test_data_of_the_last_run_are_not_those_of_a_benchmark(
    settings: Settings, overview: Callable[[], str]
) -> None:
    judged_run(settings, random_answers(1, 200))
    with write_session(settings) as session:
        session.add(run_row("r-benchmark", TASK, "s", given_split=True))
    page = overview()
    data = words(between(page, "Data of the last run", "Ingest"))
    assert f"Run {RUN} " in data
    assert re.search(r"test( \d+ \d+ groups){4} 200 200 groups 0", data)
    assert "Every test scan was compared" in data and "r-benchmark" not in page


def test_leak_and_failed_run_are_warnings(settings: Settings, overview: Callable[[], str]) -> None:
    judged_run(settings, random_answers(1, 60))
    with write_session(settings) as session:
        session.execute(update(Leak).where(Leak.kind == TwinKind.EXACT).values(scans=3))
        session.execute(update(Run).where(Run.id == RUN).values(state="failed", reason="a leak"))
    page = overview()
    assert '<p class="warning">12 test scans have a twin' in page
    assert '<p class="warning">It failed: a leak' in page


def test_batches_refusals_and_label_conflicts_are_counted(
    settings: Settings, overview: Callable[[], str]
) -> None:
    add_batch(settings, "b-1", [Dropped("one", "glioma"), Dropped("two", "no_tumor")])
    add_batch(settings, "b-2", [Dropped("one", "pituitary")])
    with write_session(settings) as session:
        session.add_all(
            BatchFile(batch_id="b-1", path=f"{n}", outcome="refused", reason="It is blank.")
            for n in range(3)
        )
    page = words(between(overview(), 'id="intake"', "</html>"))
    assert "b-1 2 accepted, 0 duplicates, 3 refused, 0 companions" in page
    assert "It is blank. 3" in page
    assert "1 open:" in page and "glioma, pituitary" in page


def test_text_from_users_is_escaped(settings: Settings, overview: Callable[[], str]) -> None:
    judged_run(settings, random_answers(1, 60))
    make_champion(settings, who=SCRIPT, why=SCRIPT)
    add_batch(settings, "b-1", [Dropped(SCRIPT, "glioma")])
    add_batch(settings, "b-2", [Dropped(SCRIPT, "pituitary")])
    with write_session(settings) as session:
        session.execute(update(Batch).values(drop_name=Batch.id + SCRIPT, reason=SCRIPT))
        session.execute(update(Run).values(recipe=SCRIPT, trigger=f'"{SCRIPT}', reason=SCRIPT))
        session.add(BatchFile(batch_id="b-1", path=SCRIPT, outcome="refused", reason=SCRIPT))
    page = overview()
    assert "<script" not in page and "<b>first" not in page
    assert page.count("&lt;script&gt;") > 8
    assert "dag_run=%22%3Cscript%3E" in page
