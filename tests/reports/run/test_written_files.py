"""The files that the report step writes about a run."""

from __future__ import annotations

import io
import re
import time
from html import unescape

import pytest
from pptx import Presentation
from sqlalchemy import select

from tests.factories.answers import FOUR, random_answers
from tests.factories.reports import CHALLENGER, CHAMPION, RUN, judged_run
from tests.factories.verdicts import winning_verdict
from tests.factories.written_reports import answers_in_rows, read_file
from tumorml.errors import TumorMLError
from tumorml.labels import NO_TUMOR
from tumorml.objects import object_store
from tumorml.reports.run.write_run_report import KINDS, write_run_report
from tumorml.results.session import read_session
from tumorml.results.tables import Artifact, Evaluation
from tumorml.settings import Settings


@pytest.fixture(scope="module")
def written(module_settings: Settings) -> Settings:
    """The files of a run with a challenger and a champion, written twice."""
    judged_run(
        module_settings, random_answers(1, 200), random_answers(2, 200), pointing=(0.8, 0.7, 0.9)
    )
    for _ in range(2):
        assert write_run_report(module_settings, RUN) == f"runs/{RUN}/report.html"
    return module_settings


def page_count(pdf: bytes) -> int:
    counts = re.findall(
        rb"/Type\s*/Pages\b[^>]*?/Count (\d+)|/Count (\d+)[^>]*?/Type\s*/Pages\b", pdf
    )
    return max(int(first or second) for first, second in counts)


def test_every_file_has_one_artifact_row(written: Settings) -> None:
    with read_session(written) as session:
        rows = session.execute(select(Artifact.object_key, Artifact.kind, Artifact.media_type))
        recorded = [(key, (kind, media_type)) for key, kind, media_type in rows]
    assert sorted(recorded) == sorted((f"runs/{RUN}/{name}", KINDS[name]) for name in KINDS)


def test_page_needs_no_other_file(written: Settings) -> None:
    page = read_file(written, "report.html").decode()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) > 20
    assert all(source.startswith(("data:image/png;base64,", "#part-")) for source in sources)
    assert "There was no champion" not in page
    assert "This beats both baselines that ignore the scan" in page


def test_pdf_has_several_pages(written: Settings) -> None:
    assert page_count(read_file(written, "report.pdf")) >= 4


def test_every_file_starts_with_the_decision_and_its_numbers(written: Settings) -> None:
    macro, missed = [], []
    no_tumor = FOUR.index(NO_TUMOR)
    for model in (CHAMPION, CHALLENGER):
        answers = answers_in_rows(written, model)
        has_tumor = answers.known_truth != no_tumor
        missed.append(((answers.predicted == no_tumor) & has_tumor).sum())
        with read_session(written) as session:
            f1 = select(Evaluation.value).where(
                Evaluation.metric == "f1_macro",
                Evaluation.slice == "all",
                Evaluation.model_version_id == model,
            )
            macro.append(session.scalars(f1).one())
    headline = (
        f"{CHALLENGER} (made up) does not replace {CHAMPION} (made up) as champion of four_class; "
        f"macro F1 {macro[0]:.3f} -> {macro[1]:.3f}; "
        f"tumors predicted no_tumor {missed[0]} -> {missed[1]} of {has_tumor.sum()}."
    )
    assert headline in unescape(read_file(written, "report.html").decode())
    assert headline in unescape(read_file(written, "model-card.html").decode())
    first = Presentation(io.BytesIO(read_file(written, "deck.pptx"))).slides[0]
    assert any(shape.has_text_frame and headline in shape.text_frame.text for shape in first.shapes)


def test_drop_name_cannot_become_markup(written: Settings) -> None:
    for name in ("report.html", "model-card.html"):
        text = read_file(written, name).decode()
        assert "<b>first" not in text
        assert "&lt;b&gt;first | drop" in text


def test_verdict_without_numbers_has_all_files(settings: Settings) -> None:
    winning_verdict(settings, "a")
    assert write_run_report(settings, "r-a") == "runs/r-a/report.html"
    store = object_store(settings)
    assert all(store.exists(f"runs/r-a/{name}") for name in KINDS)
    page = store.read("runs/r-a/report.html").decode()
    assert "No test answers of the challenger are recorded" in page


def test_run_without_verdict_has_no_report(settings: Settings) -> None:
    with pytest.raises(TumorMLError, match="has no verdict yet; judge it first"):
        write_run_report(settings, "r-none")


def test_report_of_100_000_answers_takes_bounded_time(settings: Settings) -> None:
    judged_run(settings, random_answers(9, 100_000), resamples=2)
    started = time.process_time()  # unlike wall time, independent of other processes
    write_run_report(settings, RUN)
    assert time.process_time() - started < 60
    page = read_file(settings, "report.html").decode()
    assert "of 100,000 test answers are wrong" in page
    assert len(page) < 8_000_000
