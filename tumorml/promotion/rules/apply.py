"""Which rules a policy asks for."""

from __future__ import annotations

from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.rules.floors import floors
from tumorml.promotion.rules.gain import gains
from tumorml.promotion.rules.integrity import golden_scans, leak_check, own_split
from tumorml.promotion.rules.non_inferiority import (
    anchor_non_inferiority,
    calibration_non_inferiority,
    missed_tumor_non_inferiority,
    recall_non_inferiority,
)
from tumorml.promotion.rules.result import RuleResult
from tumorml.promotion.rules.slices import slices_not_worse


def apply_rules(contest: Contest, policy: Policy) -> list[RuleResult]:
    """Every rule that the policy asks of the answers, in the order in which they are read.

    The first model has nobody to beat: it is asked for integrity and floors alone.
    """
    results = [
        leak_check(contest),
        *own_split(contest),
        *golden_scans(contest, policy),
        *floors(contest, policy),
    ]
    champion = contest.champion
    if champion is None:
        return results
    return [
        *results,
        *gains(contest, champion, policy),
        *recall_non_inferiority(contest, champion, policy),
        *missed_tumor_non_inferiority(contest, champion, policy),
        calibration_non_inferiority(contest, champion, policy),
        anchor_non_inferiority(contest, policy),
        *slices_not_worse(contest, champion, policy),
    ]
