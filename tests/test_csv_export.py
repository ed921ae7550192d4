"""The CSV writer, alone and in the three places that use it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tumorml.cli import app
from tumorml.csv_export import csv_writer
from tumorml.datasets.audit.findings import AuditedFile, Place
from tumorml.datasets.audit.summarize import summarize
from tumorml.reports.audit.table import write_audit_csv
from tumorml.serving.ui.history import predictions_csv
from tumorml.settings import Settings

FORMULAS = ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", "\r=1"]


def written(*rows: list[object], line_end: str = "\r\n") -> str:
    stream = io.StringIO(newline="")
    csv_writer(stream, line_end=line_end).writerows(rows)
    return stream.getvalue()


@pytest.mark.parametrize("formula", FORMULAS)
def test_formula_gets_an_apostrophe(formula: str) -> None:
    (row,) = csv.reader(io.StringIO(written([formula, f"a{formula}"]), newline=""))
    assert row == [f"'{formula}", f"a{formula}"]


def test_header_is_guarded_too() -> None:
    stream = io.StringIO(newline="")
    csv_writer(stream).writerow(["=1", "scan"])
    assert stream.getvalue() == "'=1,scan\r\n"


def test_harmless_values_are_written_as_by_the_csv_module() -> None:
    rows: list[list[object]] = [["a,b", 'say "no"', "", None], [-0.5, -3, True, "größer"]]
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(rows)
    assert written(*rows) == stream.getvalue()


def test_dicts_and_lists_become_json() -> None:
    (row,) = csv.reader(io.StringIO(written([{"glioma": 0.5}, ["=1"]])))
    assert row == ['{"glioma": 0.5}', '["=1"]']


def test_line_end_can_be_chosen() -> None:
    assert written(["a"], ["b"], line_end="\n") == "a\nb\n"


def test_history_of_the_ui_guards_against_formulas() -> None:
    assert (
        predictions_csv([{"file": "=1+1", "distance": -0.5}]) == b"file,distance\r\n'=1+1,-0.5\r\n"
    )


def test_sql_command_guards_against_formulas(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUMORML_HOME", str(settings.home))
    monkeypatch.setenv("TUMORML_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("TUMORML_READER_DATABASE_URL", str(settings.reader_database_url))
    query = "select '=1+1' as file, -0.5 as distance, array[1, 2] as numbers, null as caller"
    result = CliRunner().invoke(app, ["sql", query, "--csv"])
    assert result.exit_code == 0, result.output
    assert result.stdout == 'file,distance,numbers,caller\n\'=1+1,-0.5,"[1, 2]",\n'


def test_audit_table_guards_against_formulas(tmp_path: Path) -> None:
    audit = summarize(
        [AuditedFile("=1+1.png", None, "glioma", "a", "s")], [], {"s": Place("g", "train")}
    )
    write_audit_csv(audit, tmp_path / "audit.csv")
    _, row = csv.reader((tmp_path / "audit.csv").open(newline=""))
    assert row[0] == "'=1+1.png"
