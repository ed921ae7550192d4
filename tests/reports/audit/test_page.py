"""The HTML page of an audit, and the selection of its pairs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.factories.drop_files import image_bytes, write_files
from tumorml.cli import app
from tumorml.datasets.audit.findings import Audit, AuditedFile, Place, ScanTwin
from tumorml.datasets.audit.summarize import summarize
from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.reports.audit.page import audit_page
from tumorml.reports.audit.pairs import worst_pairs
from tumorml.results.twin_kinds import TwinKind


def leaking(twins: list[tuple[TwinKind, str, str]]) -> Audit:
    """Test files that each have a twin in training: kind, test label, training label."""
    files, found = [], []
    for number, (kind, label, other) in enumerate(twins):
        files.append(AuditedFile(f"test/{number}.png", "test", label, f"a{number}", f"s{number}"))
        files.append(AuditedFile(f"train/{number}.png", "train", other, f"b{number}", f"t{number}"))
        found.append(ScanTwin(f"s{number}", f"t{number}", kind, 0.95 - number / 1000))
    groups = {f.scan_id: Place(f"g{f.scan_id[1:]}", "train") for f in files if f.scan_id}
    return summarize(files, found, groups)


def test_pairs_with_two_labels_come_first_then_kinds_alternate() -> None:
    audit = leaking(
        [(TwinKind.REENCODED, "glioma", "glioma")] * 5
        + [(TwinKind.MIRRORED, "pituitary", "pituitary")]
        + [(TwinKind.MIRRORED, "glioma", "no_tumor")]
    )
    pairs = worst_pairs(audit, 4)

    assert [pair.crosses_labels for pair in pairs] == [True, False, False, False]
    assert [pair.kind for pair in pairs] == [
        TwinKind.MIRRORED,
        TwinKind.REENCODED,
        TwinKind.MIRRORED,
        TwinKind.REENCODED,
    ]


def test_pairs_with_two_labels_fill_half_of_the_page() -> None:
    audit = leaking(
        [(TwinKind.MIRRORED, "glioma", "no_tumor")] * 9
        + [(TwinKind.REENCODED, "glioma", "glioma")] * 2
    )

    assert sum(pair.crosses_labels for pair in worst_pairs(audit, 4)) == 2
    assert sum(pair.crosses_labels for pair in worst_pairs(audit, 8)) == 6


def test_file_name_cannot_become_markup() -> None:
    audit = leaking([(TwinKind.MIRRORED, "<b>bold</b>", "glioma")])
    page = audit_page(audit, name="<script>", pairs=worst_pairs(audit, 1), pictures={})

    assert "<script>" not in page
    assert "<b>bold" not in page


def test_command_writes_one_self_contained_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (made,) = draw_patient(load_anatomy(), "glioma", 0, seed=7, slices=1)
    write_files(
        tmp_path / "set",
        {
            "Training/glioma/a.png": image_bytes(made.image),
            "Testing/glioma/a.jpg": image_bytes(made.image, "JPEG"),
        },
    )
    result = CliRunner().invoke(app, ["audit", "set", "--csv", "files.csv"])

    assert result.exit_code == 0, result.output
    assert "1 of 1 test images (100.0 %) have a twin" in result.output.replace("\n", " ")
    page = (tmp_path / "audit-set.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert len((tmp_path / "files.csv").read_text().splitlines()) == 3
