"""The results store's tables, by domain."""

from tumorml.results.tables.base import Base
from tumorml.results.tables.intake import Batch, BatchFile, GroupTie, Scan, ScanGroup, ScanLabel
from tumorml.results.tables.judgement import (
    Champion,
    Evaluation,
    Prediction,
    Verdict,
    VerdictRule,
)
from tumorml.results.tables.training import (
    Artifact,
    Epoch,
    ModelVersion,
    Run,
    Snapshot,
    SnapshotScan,
)

__all__ = [
    "Artifact",
    "Base",
    "Batch",
    "BatchFile",
    "Champion",
    "Epoch",
    "Evaluation",
    "GroupTie",
    "ModelVersion",
    "Prediction",
    "Run",
    "Scan",
    "ScanGroup",
    "ScanLabel",
    "Snapshot",
    "SnapshotScan",
    "Verdict",
    "VerdictRule",
]
