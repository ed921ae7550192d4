"""Tables of the results store."""

from tumorml.results.tables.base import Base
from tumorml.results.tables.intake import (
    Batch,
    BatchFile,
    Fingerprint,
    GroupTie,
    LabelDecision,
    Scan,
    ScanGroup,
    ScanLabel,
    Twin,
)
from tumorml.results.tables.judgement import (
    ApiKey,
    Champion,
    Evaluation,
    Prediction,
    TestSet,
    Verdict,
    VerdictRule,
)
from tumorml.results.tables.training import (
    Artifact,
    Epoch,
    Leak,
    ModelVersion,
    Run,
    Snapshot,
    SnapshotScan,
)

__all__ = [
    "ApiKey",
    "Artifact",
    "Base",
    "Batch",
    "BatchFile",
    "Champion",
    "Epoch",
    "Evaluation",
    "Fingerprint",
    "GroupTie",
    "LabelDecision",
    "Leak",
    "ModelVersion",
    "Prediction",
    "Run",
    "Scan",
    "ScanGroup",
    "ScanLabel",
    "Snapshot",
    "SnapshotScan",
    "TestSet",
    "Twin",
    "Verdict",
    "VerdictRule",
]
