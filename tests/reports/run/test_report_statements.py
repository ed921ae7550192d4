"""Sentences of the report and the model card: they follow from the rows."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import select

from tests.factories.answers import FOUR, random_answers
from tests.factories.reports import CHALLENGER, CHAMPION, RUN, judged_run, of_label
from tests.factories.written_reports import (
    answers_in_rows,
    card_text,
    facts_of,
    report_page,
    rows_of,
    tables_of,
)
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.measures import LABEL_METRICS
from tumorml.reports.facts.statements import training_statement
from tumorml.results.session import write_session
from tumorml.results.tables import (
    BatchFile,
    ModelVersion,
    Run,
    SnapshotScan,
    TestSet,
    Verdict,
    VerdictRule,
)
from tumorml.settings import Settings


def set_recipe(settings: Settings, recipe: str) -> None:
    with write_session(settings) as session:
        session.get_one(Run, RUN).recipe_text = recipe


def test_compared_models_show_size_and_training_scans(settings: Settings) -> None:
    judged_run(settings, random_answers(1, 80), random_answers(2, 80))
    with write_session(settings) as session:
        session.get_one(ModelVersion, CHAMPION).parameters = 79_748
        for scan in session.scalars(select(SnapshotScan).limit(3)):
            scan.split = "train"
        session.flush()
        training_group = session.scalars(
            select(SnapshotScan.group_id).where(SnapshotScan.split == "train").limit(1)
        ).one()
        seen = session.scalars(select(SnapshotScan).where(SnapshotScan.split == "test")).first()
        assert seen is not None
        seen.group_id = training_group
    rows = rows_of(report_page(settings))
    assert rows["parameters"] == ["1", "79,748"]
    assert rows["training scans"] == ["3", "3"]
    assert rows["test scans of this run seen in training, by scan or group"] == ["1", "1"]


def test_recorded_and_missing_manifest_fields_are_listed(settings: Settings) -> None:
    judged_run(settings, random_answers(1, 60))
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
    for text in (report_page(settings), card_text(settings)):
        assert "Of 60 scans manifests record: plane of 7, patient of 5." in text
        assert "Not recorded: study, site, acquisition date, age, sex, scanner, sequence." in text
        assert "A patient id is given for 5 of 60 scans." in text


def test_significance_level_is_split_over_looks_and_gain_rules(settings: Settings) -> None:
    judged_run(settings, random_answers(1, 60), random_answers(2, 60))
    with write_session(settings) as session:
        session.add(TestSet(id="t-1", task="four_class", version=1, snapshot_id="s", groups=60))
        session.flush()
        verdict = session.get_one(Verdict, "v")
        verdict.test_set_id, verdict.look, verdict.look_alpha = "t-1", 3, 0.002
        for position, (rule, threshold) in enumerate(
            (("gain_f1_macro", 0.0), ("gain_mcnemar", 0.0), ("look_budget", 25.0)), start=9
        ):
            session.add(
                VerdictRule(
                    verdict_id="v",
                    position=position,
                    rule=rule,
                    slice="all",
                    result="passed",
                    threshold=threshold,
                    scans=1,
                    groups=1,
                    explanation="",
                )
            )
    page = report_page(settings)
    assert "This was look 3 of 25 at test set t-1." in page
    assert (
        "at most 0.05 over all looks: 0.002 for each look, 0.001 for each of its 2 gain rules"
        in page
    )
    assert "The policy did not require a person" in page


def test_rules_are_explained_by_their_kind(settings: Settings) -> None:
    judged_run(settings, random_answers(1, 60))
    page = report_page(settings)
    assert "Floors, ceilings and limits apply to every model by itself" in page
    assert "Non-inferiority rules" not in page


def test_label_without_test_scans_has_no_numbers(settings: Settings) -> None:
    judged_run(settings, random_answers(4, 120, absent=3))
    page = report_page(settings)
    assert f"No test scan has the label {FOUR[3]}" in page
    rows = tables_of(page)[f"challenger {CHALLENGER}", "label"]
    assert [FOUR[3], "0", *["-"] * len(LABEL_METRICS)] in rows
    assert "There was no champion to compare with" in page


def test_model_with_one_answer_is_reported(settings: Settings) -> None:
    judged_run(settings, of_label(random_answers(5, 120), 2))
    assert f"The challenger predicted {FOUR[2]} for every test scan" in report_page(settings)


def test_answers_without_error_quote_the_rule_of_three(settings: Settings) -> None:
    answers = random_answers(1, 200)
    truth = answers.known_truth
    certain = np.eye(4, dtype=np.float32)[truth]
    judged_run(settings, Answers(answers.scan_ids, FOUR, certain, truth, truth))
    statement = "(the rule of three), 1.5 % for all 200 test groups"
    assert statement in report_page(settings)
    assert statement in card_text(settings).replace("\\", "")


@pytest.mark.parametrize(
    ("recipe", "kept"),
    [("", "epoch of the lowest validation loss"), ('kept_epoch = "last"', "last epoch")],
)
def test_kept_epoch_follows_the_recipe(settings: Settings, recipe: str, kept: str) -> None:
    judged_run(settings, random_answers(1, 60), random_answers(2, 60))
    set_recipe(settings, recipe)
    page = report_page(settings, figures=True)
    assert f"marks the {kept}, whose weights were kept" in page
    assert ("| The last epoch |" in card_text(settings)) == bool(recipe)


def test_benchmark_shows_results_with_and_without_twins(settings: Settings) -> None:
    judged_run(settings, random_answers(12, 120), given_split=True)
    page = report_page(settings)
    assert "This model can never serve" in page
    assert f"Every test scan of {FOUR[3]} has a twin in training" in page
    answers = answers_in_rows(settings)
    right, clean = answers.predicted == answers.truth, answers.known_truth < 3
    shown = [float(cell.split()[0]) for cell in rows_of(page)["accuracy"]]
    assert shown == pytest.approx([right.mean(), right[clean].mean()], abs=0.00051)


def test_requested_slices_without_numbers_are_named(settings: Settings) -> None:
    judged_run(settings, random_answers(1, 60))
    with write_session(settings) as session:
        policy = '[slices]\nby = ["site", "size"]\nmin_scans = 50\n'
        session.get_one(Verdict, "v").policy_text = policy
    page = report_page(settings)
    assert "requests slices by site, size, of at least 50 scans" in page
    assert "There is none by site, size" in page


@pytest.mark.parametrize(
    ("recipe", "handicap"),
    [
        ("", ""),
        ("dropout = 0.2", "with dropout"),
        ("[augmentation]\nmixup = 0.2", "blended in pairs"),
        ("[augmentation]\nshare = 0.5", ""),
        ("[augmentation]\nrotation = 0.1", "augmented"),
    ],
)
def test_training_statement_names_what_makes_training_harder(
    settings: Settings, recipe: str, handicap: str
) -> None:
    judged_run(settings, random_answers(1, 60))
    set_recipe(settings, recipe)
    statement = training_statement(facts_of(settings))
    expected = f" during the epoch, on scans {handicap}; validation"
    assert (expected in statement) if handicap else statement == ""
