"""The page about the whole service, over rows of a real results store."""

from __future__ import annotations

import re

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
def overview(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """The page's text as it is now."""
    monkeypatch.setattr(pages, "get_settings", lambda: settings)
    return lambda: bytes(pages.overview().body).decode()


def part(page: str, begin: str, end: str) -> str:
    return page[page.index(begin) : page.index(end, page.index(begin))]


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def serve(settings: Settings, **values: str | bool) -> None:
    with write_session(settings) as session:
        replace_champion(session, TASK, CHALLENGER, **{"change": "pin", "who": "ann", "why": "calm"} | values)


def test_an_empty_store_says_what_to_do_next(settings: Settings, overview) -> None:
    page = words(overview())
    assert "tumorml drop" in page and str(settings.home / "objects" / "inbox") in page
    assert page.count("No champion yet.") == page.count("Nothing has been judged yet.") == 2


def test_a_store_without_champion_says_how_to_get_one(settings: Settings, overview) -> None:
    add_batch(settings, "b", [Dropped("one", "glioma")])
    page = words(overview())
    assert "Start the DAG retrain_champion" in page and "tumorml drop" not in page


def test_a_champion_is_shown_with_who_why_numbers_and_files(settings: Settings, overview) -> None:
    judged_run(settings, random_answers(1, 200), pointing=(0.8, 0.7, 0.9))
    write_run_report(settings, RUN)
    serve(settings, pinned=True)
    shown = part(overview(), 'id="four_class"', "Last verdicts")
    assert CHALLENGER in shown and "(pin by ann): calm" in words(shown) and "Pinned:" in shown
    assert "SYNTHETIC" not in shown
    with write_session(settings) as session:
        key = (RUN, CHALLENGER, "test", "f1_macro", "all")
        row = session.get_one(Evaluation, key)
        numbers = f"F1, macro {row.value:.3f} {row.low:.3f} to {row.high:.3f}"
    assert numbers in words(shown)
    assert "Both baselines that look at no scan are beaten" in shown
    assert all(f"/tumorml/files/runs/{RUN}/{name}" in shown for name in KINDS)


def test_heatmaps_that_do_not_beat_a_fixed_pixel_are_warned_of(
    settings: Settings, overview
) -> None:
    judged_run(settings, random_answers(1, 60), pointing=(0.3, 0.2, 0.4))
    serve(settings)
    assert '<p class="warning">The warmest place' in overview()
    assert "always the same pixel (30 %)" in overview()


def test_a_champion_of_synthetic_scans_is_warned_of(settings: Settings, overview) -> None:
    judged_run(settings, random_answers(1, 60))
    with write_session(settings) as session:
        session.execute(update(Batch).values(drop_name=SYNTHETIC_DROP))
    serve(settings)
    assert "It has seen SYNTHETIC scans only" in overview()


def test_verdicts_that_wait_stand_first_and_only_the_newest_are_shown(
    settings: Settings, overview
) -> None:
    winning_verdict(settings, "asked")
    for number in range(SHOWN_VERDICTS):
        winning_verdict(settings, f"{number}", approval=None)
    verdicts = part(overview(), '<ol class="rows">', "</ol>")
    runs = re.findall(r">(r-\w+)</a>", verdicts)
    newest = [f"r-{number}" for number in reversed(range(1, SHOWN_VERDICTS))]
    assert runs == ["r-asked", *newest]
    assert "because the policy requires approval of every winner" in verdicts
    assert verdicts.count('class="waiting"') == 1


def test_the_data_of_the_last_run_that_is_no_benchmark_are_shown(
    settings: Settings, overview
) -> None:
    judged_run(settings, random_answers(1, 200))
    with write_session(settings) as session:
        session.add(run_row("r-benchmark", TASK, "s", given_split=True))
    page = overview()
    data = words(part(page, "Data of the last run", "Intake"))
    assert f"Run {RUN} " in data
    assert re.search(r"test( \d+ \d+ groups){4} 200 200 groups 0", data)
    assert "Every test scan was compared" in data and "r-benchmark" not in page


def test_a_leak_and_a_failed_run_are_warned_of(settings: Settings, overview) -> None:
    judged_run(settings, random_answers(1, 60))
    with write_session(settings) as session:
        session.execute(update(Leak).where(Leak.kind == TwinKind.EXACT).values(scans=3))
        session.execute(update(Run).where(Run.id == RUN).values(state="failed", reason="a leak"))
    page = overview()
    assert '<p class="warning">12 test scans have a twin' in page
    assert '<p class="warning">It failed: a leak' in page


def test_batches_refusals_and_open_conflicts_are_counted(settings: Settings, overview) -> None:
    add_batch(settings, "b-1", [Dropped("one", "glioma"), Dropped("two", "no_tumor")])
    add_batch(settings, "b-2", [Dropped("one", "pituitary")])
    with write_session(settings) as session:
        session.add_all(
            BatchFile(batch_id="b-1", path=f"{n}", outcome="refused", reason="It is blank.")
            for n in range(3)
        )
    page = words(part(overview(), 'id="intake"', "</html>"))
    assert "b-1 2 taken in, 0 duplicates, 3 refused, 0 companions" in page
    assert "It is blank. 3" in page
    assert "1 open:" in page and "glioma, pituitary" in page


def test_what_users_wrote_stays_text(settings: Settings, overview) -> None:
    judged_run(settings, random_answers(1, 60))
    serve(settings, who=SCRIPT, why=SCRIPT)
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
