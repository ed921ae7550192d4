"""The files about a run: what they say is what the rows say, and what is missing is said."""

from __future__ import annotations

import io
import re
import time
from html import unescape

import numpy as np
import pytest
from pptx import Presentation
from sqlalchemy import select

from tests.factories.answers import FOUR, make_answers
from tests.factories.reports import CHALLENGER, CHAMPION, RUN, judged_run, of_label
from tests.factories.verdicts import winner
from tests.factories.written_reports import answers_in_rows, page_of, read, tables_of
from tumorml.errors import TumorMLError
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.measures import OF_LABELS
from tumorml.explain.heatmaps import EVIDENCE_MEANING
from tumorml.labels import NO_TUMOR
from tumorml.objects import object_store
from tumorml.reports.render.slides import LEAST_POINTS, text_height
from tumorml.reports.run.write_run_report import KINDS, write_run_report
from tumorml.results import tables
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import (
    Artifact,
    BatchFile,
    Evaluation,
    ModelVersion,
    Run,
    SnapshotScan,
    Verdict,
    VerdictRule,
)
from tumorml.settings import Settings


def pages(pdf: bytes) -> int:
    found = re.findall(
        rb"/Type\s*/Pages\b[^>]*?/Count (\d+)|/Count (\d+)[^>]*?/Type\s*/Pages\b", pdf
    )
    return max(int(one or other) for one, other in found)


def labels_in_page(page: str) -> dict[str, list[str]]:
    """The cells of the challenger's table of labels, by label."""
    rows = tables_of(page)[f"challenger {CHALLENGER}", "label"]
    return {row[0]: row[1:] for row in rows if row[0] in FOUR}


def rows_of(page: str) -> dict[str, list[str]]:
    """The cells of the page's tables, by the first of each row."""
    return {row[0]: row[1:] for rows in tables_of(page).values() for row in rows}


def test_every_file_is_written_and_recorded_and_written_again(settings: Settings) -> None:
    answers = make_answers(1, 200)
    judged_run(settings, answers, make_answers(2, 200), pointing=(0.8, 0.7, 0.9))
    for _ in range(2):
        assert write_run_report(settings, RUN) == f"runs/{RUN}/report.html"
    with read_session(settings) as session:
        rows = session.execute(select(Artifact.object_key, Artifact.kind, Artifact.media_type))
        recorded = {key: (kind, media_type) for key, kind, media_type in rows}
    assert recorded == {f"runs/{RUN}/{name}": kinds for name, kinds in KINDS.items()}
    page = page_of(settings)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith(("data:image/png;base64,", "#part-")) for source in sources)
    assert "There was no champion" not in page
    assert "Both baselines that look at no scan are beaten" in page
    assert pages(read(settings, "report.pdf")) >= 4


def test_every_file_begins_with_who_serves_and_the_numbers_in_the_rows(settings: Settings) -> None:
    judged_run(settings, make_answers(1, 200), make_answers(2, 200))
    write_run_report(settings, RUN)
    macro, missed = [], []
    for model in (CHAMPION, CHALLENGER):
        answers = answers_in_rows(settings, model)
        none = FOUR.index(NO_TUMOR)
        missed.append(((answers.predicted == none) & (answers.truth != none)).sum())
        with read_session(settings) as session:
            of_model = Evaluation.metric == "f1_macro", Evaluation.model_version_id == model
            macro.append(session.scalars(select(Evaluation.value).where(*of_model)).one())
    tumors = (answers.truth != none).sum()
    told = (
        f"{CHALLENGER} (made up) does not replace {CHAMPION} (made up) in serving four_class; "
        f"macro F1 {macro[0]:.3f} -> {macro[1]:.3f}; "
        f"tumours called no_tumor {missed[0]} -> {missed[1]} of {tumors}."
    )
    assert told in unescape(page_of(settings))
    assert told in unescape(read(settings, "model-card.html").decode())
    first = Presentation(io.BytesIO(read(settings, "deck.pptx"))).slides[0]
    assert any(shape.has_text_frame and told in shape.text_frame.text for shape in first.shapes)


def test_who_was_compared_is_told_with_what_each_learnt_from(settings: Settings) -> None:
    judged_run(settings, make_answers(1, 80), make_answers(2, 80))
    with write_session(settings) as session:
        session.get_one(ModelVersion, CHAMPION).parameters = 79_748
        for scan in session.scalars(select(SnapshotScan).limit(3)):
            scan.split = "train"
        session.flush()
        group = session.scalars(
            select(SnapshotScan.group_id).where(SnapshotScan.split == "train").limit(1)
        ).one()
        tied = session.scalars(select(SnapshotScan).where(SnapshotScan.split == "test")).first()
        assert tied is not None
        tied.group_id = group
    write_run_report(settings, RUN)
    rows = rows_of(page_of(settings))
    assert rows["parameters"] == ["1", "79,748"]
    assert rows["scans trained on"] == ["3", "3"]
    assert rows["today's test scans that it learnt from, by scan or group"] == ["1", "1"]


def test_what_manifests_record_of_the_scans_is_told_and_what_they_do_not(
    settings: Settings,
) -> None:
    judged_run(settings, make_answers(1, 60))
    with write_session(settings) as session:
        scans = session.scalars(select(SnapshotScan.scan_id)).all()
        for number, scan in enumerate(scans):
            session.add(
                BatchFile(
                    batch_id="b",
                    path=str(number),
                    outcome="taken_in",
                    scan_id=scan,
                    patient_id="p" if number < 5 else None,
                    attributes={"plane": "axial"} if number < 7 else None,
                )
            )
    write_run_report(settings, RUN)
    for name in ("report.html", "model-card.html"):
        text = read(settings, name).decode()
        assert "Of 60 scans manifests record: plane of 7, patient of 5." in text
        assert "Not recorded: study, site, acquisition date, age, sex, scanner, sequence." in text
        assert "The patient is named for 5 of 60 scans." in text


def test_the_chance_of_error_of_a_look_is_told_from_the_whole_to_the_rule(
    settings: Settings,
) -> None:
    judged_run(settings, make_answers(1, 60), make_answers(2, 60))
    with write_session(settings) as session:
        session.add(
            tables.TestSet(id="t-1", task="four_class", version=1, snapshot_id="s", groups=60)
        )
        session.flush()
        verdict = session.get_one(Verdict, "v")
        verdict.test_set_id, verdict.look, verdict.look_alpha = "t-1", 3, 0.002
        common = {"verdict_id": "v", "slice": "all", "result": "passed", "explanation": ""}
        for position, (rule, threshold) in enumerate(
            (("gain_f1_macro", 0.0), ("gain_mcnemar", 0.0), ("look_budget", 25.0)), start=9
        ):
            session.add(
                VerdictRule(
                    rule=rule, position=position, threshold=threshold, scans=1, groups=1, **common
                )
            )
    write_run_report(settings, RUN)
    page = page_of(settings)
    assert "look 3 of 25 at t-1. All of them share one chance of 0.05" in page
    assert "each look has 0.002, each of its 2 rules of gain 0.001." in page
    assert "No person was asked" in page


def test_a_label_without_test_scans_is_said_and_not_guessed(settings: Settings) -> None:
    judged_run(settings, make_answers(4, 120, absent=3))
    write_run_report(settings, RUN)
    page = page_of(settings)
    assert f"No test scan has the label {FOUR[3]}" in page
    assert labels_in_page(page)[FOUR[3]] == ["0", *["-"] * len(OF_LABELS)]
    assert "There was no champion to compare with" in page


def test_a_model_that_knows_one_answer_is_called_that(settings: Settings) -> None:
    judged_run(settings, of_label(make_answers(5, 120), 2))
    write_run_report(settings, RUN)
    assert f"The challenger answered {FOUR[2]} for every test scan" in page_of(settings)


def test_answers_without_an_error_are_not_told_as_certain(settings: Settings) -> None:
    answers = make_answers(1, 200)
    right = Answers(
        answers.scan_ids,
        FOUR,
        np.eye(4, dtype=np.float32)[answers.truth],
        answers.truth,
        answers.truth,
    )
    judged_run(settings, right)
    write_run_report(settings, RUN)
    told = "(the rule of three), 1.5 % of all 200 test groups"
    assert told in page_of(settings)
    assert told in read(settings, "model-card.md").decode()


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
    with write_session(settings) as session:
        session.get_one(Run, RUN).recipe_text = recipe
    write_run_report(settings, RUN)
    assert f"marks the {told}, whose weights were kept" in page_of(settings)
    card = read(settings, "model-card.md").decode()
    assert ("| The last epoch |" in card) == bool(recipe)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("[evidence]\nunits = 8", f"{EVIDENCE_MEANING}. A map that is dark everywhere means"),
        ("", "heatmap by LayerCAM: bright is what spoke most for the predicted label"),
    ],
)
def test_what_is_bright_in_a_picture_is_told_as_the_recipe_made_it(
    settings: Settings, recipe: str, told: str
) -> None:
    judged_run(settings, make_answers(1, 60))
    with write_session(settings) as session:
        session.get_one(Run, RUN).recipe_text = recipe
    write_run_report(settings, RUN)
    assert page_of(settings).count(told) == 2


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
    assert page.count(said) == 1
    assert page.index(said) < page.index("<img")
    assert said in read(settings, "model-card.html").decode()


def test_a_benchmark_is_shown_beside_what_it_reaches_without_twins(settings: Settings) -> None:
    judged_run(settings, make_answers(12, 120), given_split=True)
    write_run_report(settings, RUN)
    page = page_of(settings)
    assert "This model can never serve" in page
    assert f"Of {FOUR[3]} no test scan is without a twin in training" in page
    answers = answers_in_rows(settings)
    right, clean = answers.predicted == answers.truth, answers.truth < 3
    shown = [float(cell.split()[0]) for cell in rows_of(page)["accuracy"]]
    assert shown == pytest.approx([right.mean(), right[clean].mean()], abs=0.00051)


def test_missed_tumours_are_shown_first_and_then_the_most_confident_wrong_answers(
    settings: Settings,
) -> None:
    judged_run(settings, make_answers(7, 200), heatmaps=False)
    write_run_report(settings, RUN)
    answers = answers_in_rows(settings)
    wrong = answers.predicted != answers.truth
    confident = answers.probabilities[np.arange(200), answers.predicted][wrong]
    none = FOUR.index(NO_TUMOR)
    missed = (answers.predicted == none)[wrong]
    ranked = [*np.sort(confident[missed])[::-1], *np.sort(confident[~missed])[::-1]]
    page = page_of(settings)
    shown = re.findall(r"<figcaption>(MISSED TUMOUR: )?true \w+, predicted \w+ ([\d.]+);", page)
    assert [float(value) for _, value in shown] == pytest.approx(ranked[: len(shown)], abs=0.0051)
    assert [bool(flag) for flag, _ in shown] == [
        place < missed.sum() for place in range(len(shown))
    ]
    tumors = (answers.truth != none).sum()
    assert f"{wrong.sum()} of 200 test answers are wrong, and {missed.sum()} of {tumors}" in page


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


def test_parts_that_the_policy_asks_for_and_that_are_missing_are_named(settings: Settings) -> None:
    judged_run(settings, make_answers(1, 60))
    with write_session(settings) as session:
        policy = '[slices]\nby = ["site", "size"]\nmin_scans = 50\n'
        session.get_one(Verdict, "v").policy_text = policy
    write_run_report(settings, RUN)
    page = page_of(settings)
    assert "asks for parts by site, size, of at least 50 scans" in page
    assert "There is none by site, size" in page


@pytest.mark.parametrize(
    ("recipe", "told"),
    [("", False), ("dropout = 0.2", True), ("[augmentation]\nmixup = 0.2", True)],
)
def test_why_validation_can_beat_training_is_told_where_it_can(
    settings: Settings, recipe: str, told: bool
) -> None:
    judged_run(settings, make_answers(1, 60))
    with write_session(settings) as session:
        session.get_one(Run, RUN).recipe_text = recipe
    write_run_report(settings, RUN)
    assert ("so it can look better" in page_of(settings)) == told


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
