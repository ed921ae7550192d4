"""Names of layers that other code looks up. Saved models contain them, so they never change."""

from __future__ import annotations

FEATURES = "features"
"""Activation of the last convolution, `[n, height, width, channels]`."""

POOL = "pool"
"""Output of the pooling; the layers after it are the head."""

LOGITS = "logits"
"""Last layer: float32 `[n, 1]` of a binary network, `[n, classes]` of others."""

EVIDENCE = "evidence"
"""Evidence map of a network that has one: float32 `[n, S/4, S/4, 1]` in 0..1 for an input side S.

It weights the features that are classified, so it shows which parts of the scan determine the
decision.
"""

EVIDENCE_STRIDE = 4
"""Input pixels per cell of the evidence map, along each side.

A stride of 8 is too coarse: a small tumor would cover only a few cells.
"""
