"""Commands that need no trained run: help, version, drop, ingest, sql, and errors of users."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories.command_line import CommandLine
from tests.factories.drop_files import png, write_files
from tumorml import __version__

HEAVY = ("tensorflow", "keras", "pandas", "numpy", "sqlalchemy", "matplotlib", "airflow")


def test_help_groups_commands_by_panel(command_line: CommandLine) -> None:
    output = command_line.succeed("--help").output
    panels = ["Service", "Data", "Training", "Promotion", "Serving", "Inspection", "Cluster"]
    positions = [output.index(f"─ {panel} ─") for panel in panels]
    assert positions == sorted(positions)


def test_import_of_command_line_loads_no_heavy_library() -> None:
    program = f"import sys, tumorml.cli; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


def test_version_option_prints_the_package_version(command_line: CommandLine) -> None:
    assert command_line.succeed("--version").output == f"{__version__}\n"


def test_ingest_takes_in_a_dropped_folder_once(command_line: CommandLine, tmp_path: Path) -> None:
    files = {f"glioma/{seed}.png": png(seed) for seed in range(3)}
    write_files(tmp_path / "scans", files)
    assert "dropped as" in command_line.succeed("drop", str(tmp_path / "scans")).output
    first = command_line.succeed("ingest").text
    assert "ingested │ 3 │ 3 │ 0 │ 0" in first
    assert "no complete drop in the inbox" in command_line.succeed("ingest").output


def test_drop_of_missing_folder_is_an_error(command_line: CommandLine, tmp_path: Path) -> None:
    assert "missing" in command_line.fail("drop", str(tmp_path / "missing"))


def test_sql_prints_rows_as_a_table_and_as_csv(command_line: CommandLine) -> None:
    query = "select 'a,b' as name, 1.5::float as value, time '10:30' as noon"
    table = command_line.succeed("sql", query).text
    assert "a,b │ 1.5000 │ 10:30:00" in table
    assert "1 row" in table
    csv = command_line.succeed("sql", "--csv", query).output
    assert csv == 'name,value,noon\n"a,b",1.5,10:30:00\n'


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select no_column from run_summary", 'column "no_column" does not exist'),
        ("delete from champion", "cannot execute DELETE in a read-only transaction"),
        ("set statement_timeout = 0", "returns no rows"),
    ],
)
def test_sql_rejects_bad_queries_in_one_line(
    command_line: CommandLine, query: str, reason: str
) -> None:
    assert reason in command_line.fail("sql", query)


def test_status_of_empty_home_has_four_empty_tables(command_line: CommandLine) -> None:
    text = command_line.succeed("status").text
    assert text.count("0 rows") == 4


def test_status_lists_drops_of_the_inbox(command_line: CommandLine, tmp_path: Path) -> None:
    write_files(tmp_path / "new-scans", {"glioma/1.png": png(1)})
    command_line.succeed("drop", str(tmp_path / "new-scans"))
    assert "inbox: new-scans, 1 files, complete" in command_line.succeed("status").text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["retrain", "--recipe", "no-such-recipe"], "no-such-recipe"),
        (["retrain"], "label"),
        (["resume", "r-unknown"], "r-unknown"),
        (["reproduce", "r-unknown"], "r-unknown"),
        (["approve", "v-unknown"], "v-unknown"),
        (["champion", "--pin", "--unpin"], "one change at a time, not pin and unpin"),
        (["champion", "--model", "m-1"], "--model needs one of"),
        (["champion", "--pin", "--reason", "test"], "no champion yet"),
        (["label", "abc", "glioma", "--reason", "test"], "abc"),
        (["tune", "baseline-cnn", "missing-folder/new.toml"], "must be a new file"),
        (["audit"], "Name one set"),
        (["in-airflow"], "Name a command to run"),
    ],
)
def test_user_error_is_one_message_with_exit_code_1(
    command_line: CommandLine, arguments: list[str], reason: str
) -> None:
    assert reason in command_line.fail(*arguments)
