from __future__ import annotations

from tumorml.results.twin_kinds import AUDIT_KINDS, LEAK_KINDS, TwinKind


def test_stored_values_of_twin_kinds_are_in_order_of_strength():
    stored = ["exact", "reencoded", "mirrored", "similar", "same_patient", "same_group", "none"]
    assert [str(kind) for kind in TwinKind] == stored
    assert [TwinKind(value).strength for value in stored] == list(range(7))


def test_audits_report_patients_and_leak_reports_groups():
    assert set(AUDIT_KINDS) ^ set(LEAK_KINDS) == {TwinKind.SAME_PATIENT, TwinKind.SAME_GROUP}
    assert sorted(LEAK_KINDS, key=lambda kind: kind.strength) == list(LEAK_KINDS)
