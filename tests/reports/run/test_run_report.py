"""The files about a run: what they say is what the rows say, and what is missing is said."""

from __future__ import annotations

import io
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from pptx import Presentation
from sqlalchemy import select

from tests.evaluation.made_answers import FOUR, by_scikit_learn, make_answers
from tests.promotion.made_verdicts import winner
from tests.reports.run.made_reports import CHALLENGER, RUN, judged_run, of_label
from tumorml.errors import TumorMLError
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.measures import OF_LABELS
from tumorml.objects import object_store
from tumorml.reports.run.slides import LEAST_POINTS, text_height
from tumorml.reports.run_report import KINDS, write_run_report
from tumorml.results.session import reading, writing
from tumorml.results.tables import Artifact, Prediction, Run
from tumorml.settings import Settings

NAMES = ("precision", "recall", "specificity", "F1", "ROC area", "PR area")


class Tables(HTMLParser):
    """Every table's rows of cells, the words alone."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._open = False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._open = True

    def handle_endtag(self, tag):
        self._open = self._open and tag not in ("td", "th")

    def handle_data(self, data):
        if self._open:
            self.rows[-1][-1] += f" {data}"


def read(settings: Settings, name: str) -> bytes:
    return object_store(settings).read(f"runs/{RUN}/{name}")


def page_of(settings: Settings) -> str:
    return read(settings, "report.html").decode()


def pages(pdf: bytes) -> int:
    found = re.findall(
        rb"/Type\s*/Pages\b[^>]*?/Count (\d+)|/Count (\d+)[^>]*?/Type\s*/Pages\b", pdf
    )
    return max(int(one or other) for one, other in found)


def answers_in_rows(settings: Settings) -> Answers:
    with reading(settings) as session:
        rows = session.scalars(
            select(Prediction).where(Prediction.model_version_id == CHALLENGER)
        ).all()
    return Answers(
        [row.scan_id for row in rows],
        FOUR,
        np.array([[row.probabilities[label] for label in FOUR] for row in rows], np.float32),
        np.array([FOUR.index(row.label) for row in rows]),
        np.array([FOUR.index(row.true_label) for row in rows]),
    )


def labels_in_page(page: str) -> dict[str, list[str]]:
    """The cells of the challenger's table of labels, by label."""
    tables = Tables()
    tables.feed(page)
    heading = [["label", "scans", *NAMES] == [cell.strip() for cell in row] for row in tables.rows]
    start = heading.index(True) + 1
    rows = tables.rows[start : start + len(FOUR)]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def test_every_file_is_written_and_recorded_and_written_again(settings: Settings) -> None:
    answers = make_answers(1, 200)
    judged_run(settings, answers, make_answers(2, 200), pointing=(0.8, 0.7, 0.9))
    for _ in range(2):
        assert write_run_report(settings, RUN) == f"runs/{RUN}/report.html"
    with reading(settings) as session:
        rows = session.execute(select(Artifact.object_key, Artifact.kind, Artifact.media_type))
        recorded = {key: (kind, media_type) for key, kind, media_type in rows}
    assert recorded == {f"runs/{RUN}/{name}": kinds for name, kinds in KINDS.items()}
    page = page_of(settings)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith(("data:image/png;base64,", "#part-")) for source in sources)
    assert "There was no champion" not in page
    assert "Both baselines that look at no scan are beaten" in page
    assert pages(read(settings, "report.pdf")) >= 4


def test_the_table_of_labels_says_what_scikit_learn_finds_in_the_rows(settings: Settings) -> None:
    judged_run(settings, make_answers(3, 300))
    write_run_report(settings, RUN)
    answers = answers_in_rows(settings)
    expected = by_scikit_learn(answers, np.arange(300))
    shown = labels_in_page(page_of(settings))
    for index, label in enumerate(FOUR):
        scans, *cells = shown[label]
        assert int(scans) == (answers.truth == index).sum()
        for name, cell in zip(OF_LABELS, cells, strict=True):
            value, low, high = (float(number) for number in re.findall(r"[\d.]+", cell))
            assert value == pytest.approx(expected[name][index], abs=0.00051)
            assert low <= value <= high


def test_a_label_without_test_scans_is_said_and_not_guessed(settings: Settings) -> None:
    judged_run(settings, make_answers(4, 120, absent=3))
    write_run_report(settings, RUN)
    page = page_of(settings)
    assert f"No test scan has the label {FOUR[3]}" in page
    assert labels_in_page(page)[FOUR[3]] == ["0", *["-"] * len(NAMES)]
    assert "There was no champion to compare with" in page


def test_a_model_that_knows_one_answer_is_called_that(settings: Settings) -> None:
    judged_run(settings, of_label(make_answers(5, 120), 2))
    write_run_report(settings, RUN)
    assert f"The challenger answered {FOUR[2]} for every test scan" in page_of(settings)


def test_test_scans_of_one_label_have_no_curves(settings: Settings) -> None:
    answers = make_answers(5, 60)
    truth = np.full_like(answers.known_truth, 1)
    judged_run(
        settings,
        Answers(answers.scan_ids, FOUR, answers.probabilities, answers.predicted, truth),
    )
    write_run_report(settings, RUN)
    assert "There are no curves: the test scans are of one label" in page_of(settings)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [("", "epoch of the lowest validation loss"), ('kept_epoch = "last"', "last epoch")],
)
def test_the_epoch_whose_weights_were_kept_is_told_as_the_recipe_has_it(
    settings: Settings, recipe: str, told: str
) -> None:
    judged_run(settings, make_answers(1, 60), make_answers(2, 60))
    with writing(settings) as session:
        session.get_one(Run, RUN).recipe_text = recipe
    write_run_report(settings, RUN)
    assert f"marks the {told}, whose weights were kept" in page_of(settings)
    card = read(settings, "model-card.md").decode()
    assert ("| The last epoch |" in card) == bool(recipe)


def test_a_verdict_without_any_numbers_still_has_its_files(settings: Settings) -> None:
    winner(settings, "a")
    assert write_run_report(settings, "r-a") == "runs/r-a/report.html"
    page = object_store(settings).read("runs/r-a/report.html").decode()
    assert "There are no test answers of the challenger" in page


def test_a_run_without_a_verdict_has_no_report(settings: Settings) -> None:
    with pytest.raises(TumorMLError, match="has no verdict yet; judge it first"):
        write_run_report(settings, "r-none")


@pytest.mark.parametrize(
    ("pointing", "said"),
    [
        (None, "was not measured: validation and test each need scans with a tumour mask"),
        ((0.4, 0.25, 0.6), "does not beat pointing without looking"),
    ],
)
def test_heatmaps_that_do_not_find_tumours_are_shown_with_that_sentence(
    settings: Settings, pointing, said: str
) -> None:
    judged_run(settings, make_answers(6, 80), pointing=pointing)
    write_run_report(settings, RUN)
    page = page_of(settings)
    wrong = page[page.index(">Wrong answers</h2>") : page.index(">Right answers</h2>")]
    assert said in wrong
    assert wrong.index(said) < wrong.index("<img")
    assert said in read(settings, "model-card.html").decode()


def test_a_benchmark_is_shown_beside_what_it_reaches_without_twins(settings: Settings) -> None:
    judged_run(settings, make_answers(12, 120), given_split=True)
    write_run_report(settings, RUN)
    page = page_of(settings)
    assert "This model can never serve" in page
    assert f"Of {FOUR[3]} no test scan is without a twin in training" in page
    tables = Tables()
    tables.feed(page)
    accuracies = next(row for row in tables.rows if row and row[0].strip() == "accuracy")
    answers = answers_in_rows(settings)
    right, clean = answers.predicted == answers.truth, answers.truth < 3
    shown = [float(cell.split()[0]) for cell in accuracies[1:]]
    assert shown == pytest.approx([right.mean(), right[clean].mean()], abs=0.00051)


def test_the_wrong_answers_shown_are_the_most_confident(settings: Settings) -> None:
    judged_run(settings, make_answers(7, 200), heatmaps=False)
    write_run_report(settings, RUN)
    answers = answers_in_rows(settings)
    wrong = answers.predicted != answers.truth
    confident = answers.probabilities[np.arange(200), answers.predicted][wrong]
    shown = re.findall(r"<figcaption>true \w+, predicted \w+ ([\d.]+);", page_of(settings))
    assert [float(value) for value in shown] == pytest.approx(
        np.sort(confident)[::-1][: len(shown)], abs=0.0051
    )
    assert f"{wrong.sum()} of 200 test answers are wrong" in page_of(settings)


def test_a_heatmap_that_is_gone_leaves_a_place_that_says_so(settings: Settings) -> None:
    judged_run(settings, make_answers(13, 60))
    object_store(settings).remove("runs/r-new/heatmaps/made.png")
    write_run_report(settings, RUN)
    assert ">no heatmap</div>" in page_of(settings)


def test_what_a_drop_is_called_cannot_become_markup(settings: Settings) -> None:
    judged_run(settings, make_answers(8, 60))
    write_run_report(settings, RUN)
    for name in ("report.html", "model-card.html"):
        text = read(settings, name).decode()
        assert "<b>first" not in text
        assert "&lt;b&gt;first | drop" in text


def test_a_hundred_thousand_answers_are_told_in_bounded_time(settings: Settings) -> None:
    judged_run(settings, make_answers(9, 100_000), resamples=2)
    started = time.process_time()  # a busy machine takes no more of it
    write_run_report(settings, RUN)
    assert time.process_time() - started < 60
    assert "of 100,000 test answers are wrong" in page_of(settings)
    assert len(page_of(settings)) < 8_000_000


def test_what_stands_on_a_slide_fits_it(settings: Settings) -> None:
    judged_run(settings, make_answers(10, 150), make_answers(11, 150), pointing=(0.8, 0.7, 0.9))
    write_run_report(settings, RUN)
    deck = Presentation(io.BytesIO(read(settings, "deck.pptx")))
    titles = [slide.shapes.title.text for slide in deck.slides]
    assert titles[1:4] == ["Problem", "Approach", "Data and split"]
    assert titles[-2:] == ["Limits", "Next steps"]
    assert deck.slide_width * 9 == pytest.approx(deck.slide_height * 16, rel=0.001)
    for slide in deck.slides:
        for shape in slide.shapes:
            assert shape.left >= 0 and shape.left + shape.width <= deck.slide_width
            assert shape.top >= 0 and shape.top + shape.height <= deck.slide_height
            if shape.has_text_frame:
                size = shape.text_frame.paragraphs[0].runs[0].font.size.pt
                lines = [paragraph.text for paragraph in shape.text_frame.paragraphs]
                assert size > LEAST_POINTS
                assert text_height(lines, shape.width.pt - 14, size) <= shape.height.pt
