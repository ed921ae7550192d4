"""Promotion rates of the gate: simulated models, judged by the rules of promotion.toml.

Each trial draws a test set of four classes, in groups of three scans on average, and the
predictions of two models. The ease of a scan is the sum of a part of its group, a part of the scan
and a part of the model. Most of it is common to both models, as for two trainings of one recipe.
The probabilities are calibrated. Three rules judge the trial: the rules of the service, any gain in
accuracy, and a gain in accuracy of more than one point.

    python benchmarks/gate/gate_simulation.py             rates by test set and challenger
    python benchmarks/gate/gate_simulation.py --nights    one test set on 365 nights
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binomtest, norm

from tumorml.evaluation.answers import Answers
from tumorml.labels import LABELS, Task
from tumorml.policy import Policy, load_policy
from tumorml.promotion.contest import Contest, GoldenCheck
from tumorml.promotion.rules import apply_rules, outcome_of
from tumorml.settings import PROJECT_ROOT

NAMES = LABELS[Task.FOUR_CLASS]
SCANS_PER_GROUP = 3
ACCURACY = 0.95
SHARED = 0.9
"""Share of the variance of a scan's ease that all models have in common."""
GOLDEN = GoldenCheck(16, largest_difference=0.0, latency_ms=30.0)
NIGHTS = 365


@dataclass(frozen=True)
class Challenger:
    """A challenger.

    Attributes:
        name: Name for the table.
        change_points: True accuracy of each class minus the champion's, in percentage points.
    """

    name: str
    change_points: tuple[float, float, float, float]


CHALLENGERS = (
    Challenger("equal", (0, 0, 0, 0)),
    Challenger("1 point worse", (-1, -1, -1, -1)),
    Challenger("0.3 points better", (0.3, 0.3, 0.3, 0.3)),
    Challenger("0.5 points better", (0.5, 0.5, 0.5, 0.5)),
    Challenger("1 point better", (1, 1, 1, 1)),
    Challenger("2 points better", (2, 2, 2, 2)),
    Challenger("3 points better", (3, 3, 3, 3)),
    Challenger("glioma 3 points worse", (-3, 0, 0, 0)),
    Challenger("glioma 3 worse, the rest 3 better", (-3, 3, 3, 3)),
)


@dataclass(frozen=True)
class TestScans:
    """A test set of n scans.

    Attributes:
        truth: int64 [n], true class indices.
        groups: n group ids.
        ease: float64 [n], the part of each scan's ease that all models share; standard normal.
    """

    truth: NDArray[np.int64]
    groups: list[str]
    ease: NDArray[np.float64]


def draw_test_scans(generator: np.random.Generator, scans: int) -> TestScans:
    """Draw groups of one class each; half of the variance of the ease is common to a group."""
    sizes = 1 + generator.poisson(SCANS_PER_GROUP - 1, size=scans)
    member = np.repeat(np.arange(scans), sizes)[:scans]
    ease = np.sqrt(0.5) * (generator.normal(size=scans)[member] + generator.normal(size=scans))
    truth = generator.integers(0, len(NAMES), scans)[member]
    return TestScans(truth, [f"g{index}" for index in member], ease)


def draw_answers(
    generator: np.random.Generator, scans: TestScans, accuracy: NDArray[np.float64]
) -> Answers:
    """Draw the predictions of a model.

    The share ``SHARED`` of the variance of a scan's ease is common to all models. Half of the rest
    belongs to the scan's group, so that two models differ by patients, not only by scans. The
    model is right on the easiest scans of each class. The probability of the predicted class is
    the chance that it is right, given a noisy observation of the scan's ease.

    Args:
        generator: Source of random numbers.
        scans: The test set.
        accuracy: float64 [classes], true accuracy of the model on each class.
    """
    _, member = np.unique(scans.groups, return_inverse=True)
    group_part = generator.normal(size=member.max() + 1)[member]
    model_part = np.sqrt(0.5) * (group_part + generator.normal(size=len(member)))
    ease = np.sqrt(SHARED) * scans.ease + np.sqrt(1 - SHARED) * model_part
    limit = norm.ppf(1 - accuracy)[scans.truth]
    perceived = np.sqrt(0.5) * (ease + generator.normal(size=len(ease)))
    confidence = norm.sf((limit - np.sqrt(0.5) * perceived) / np.sqrt(0.5)).clip(0.26, 0.9999)
    other = (scans.truth + generator.integers(1, len(NAMES), len(ease))) % len(NAMES)
    predicted = np.where(ease > limit, scans.truth, other)
    probabilities = np.repeat((1 - confidence)[:, None] / (len(NAMES) - 1), len(NAMES), axis=1)
    probabilities[np.arange(len(ease)), predicted] = confidence
    return Answers(
        [str(index) for index in range(len(ease))],
        NAMES,
        probabilities.astype(np.float32),
        predicted=predicted,
        truth=scans.truth,
    )


def judge(scans: TestScans, champion: Answers, challenger: Answers, policy: Policy) -> str:
    """Return the outcome by the rules of the service, at the first look at the test set."""
    contest = Contest(
        scans.groups,
        challenger,
        champion,
        anchor=None,
        slices={},
        leaking=0,
        golden=GOLDEN,
        given_split=False,
    )
    return outcome_of(apply_rules(contest, policy), first=False)[0]


def accuracy_gain(champion: Answers, challenger: Answers) -> float:
    """Return the observed gain in accuracy, in [-1, 1]."""
    return float(
        np.mean(challenger.predicted == challenger.truth)
        - np.mean(champion.predicted == champion.truth)
    )


def simulate_trial(
    scans: int, challenger: Challenger, policy: Policy, seed: int
) -> tuple[bool, ...]:
    """Judge one challenger on one test set.

    Returns:
        Four booleans: promoted by this gate, promoted by any gain in accuracy, promoted by a gain
        of more than one point, and judged ``insufficient`` by this gate.
    """
    generator = np.random.default_rng(seed)
    test = draw_test_scans(generator, scans)
    accuracy = np.full(len(NAMES), ACCURACY)
    champion = draw_answers(generator, test, accuracy)
    other = draw_answers(generator, test, accuracy + np.array(challenger.change_points) / 100)
    outcome, gain = judge(test, champion, other, policy), accuracy_gain(champion, other)
    return outcome == "promoted", gain > 0, gain > 0.01, outcome == "insufficient"


def simulate_nights(scans: int, policy: Policy, unlimited: Policy, seed: int) -> tuple[bool, ...]:
    """Judge a new challenger each night on one test set; none is better than the champion.

    Returns:
        Four booleans, true if any challenger is promoted: by this gate, by this gate without its
        budget of looks, by any gain in accuracy, and by a gain of more than one point.
    """
    generator = np.random.default_rng(seed)
    test = draw_test_scans(generator, scans)
    accuracy = np.full(len(NAMES), ACCURACY)
    champion = draw_answers(generator, test, accuracy)
    promoted = [False] * 4
    for night in range(NIGHTS):
        other = draw_answers(generator, test, accuracy)
        gain = accuracy_gain(champion, other)
        promoted[2] |= gain > 0
        promoted[3] |= gain > 0.01
        if night < policy.looks.budget and not promoted[0]:
            promoted[0] = judge(test, champion, other, policy) == "promoted"
        if not promoted[1]:
            promoted[1] = judge(test, champion, other, unlimited) == "promoted"
    return tuple(promoted)


def rates(
    pool: ProcessPoolExecutor,
    function: Callable[..., tuple[bool, ...]],
    *arguments: object,
    trials: int,
    title: str,
) -> NDArray[np.float64]:
    """Run trials in parallel and return the rate of each of their booleans, float64 [booleans]."""
    futures = [pool.submit(function, *arguments, seed) for seed in range(trials)]
    results = [future.result() for future in track(futures, title, transient=True)]
    return np.asarray(np.mean(results, axis=0), np.float64)


def format_rate(rate: float, trials: int) -> str:
    """Format a rate in percent with its 95 % Wilson interval."""
    bounds = binomtest(round(rate * trials), trials).proportion_ci(method="wilson")
    return f"{100 * rate:.1f} % ({100 * bounds.low:.1f}-{100 * bounds.high:.1f})"


def main() -> None:
    """Simulate and print one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--scans", type=int, nargs="+", default=[200, 1300, 10_000])
    parser.add_argument("--nights", action="store_true", help="simulate 365 nights on one test set")
    options = parser.parse_args()
    policy = load_policy(PROJECT_ROOT / "promotion.toml")
    # The service draws more resamples; fewer make the simulation faster.
    policy = policy.model_copy(update={"resamples": 400})
    console = Console(width=140)
    with ProcessPoolExecutor() as pool:
        if options.nights:
            # With a budget of one look, alpha is not divided among looks.
            one_look = policy.looks.model_copy(update={"budget": 1})
            unlimited = policy.model_copy(update={"looks": one_look})
            table = Table(
                "test scans", "this gate", "without the budget", "any gain", "gain above 1 point"
            )
            for scans in options.scans:
                shares = rates(
                    pool,
                    simulate_nights,
                    scans,
                    policy,
                    unlimited,
                    trials=options.trials,
                    title=f"{scans} scans, {NIGHTS} nights",
                )
                table.add_row(str(scans), *(format_rate(rate, options.trials) for rate in shares))
        else:
            table = Table(
                "test scans",
                "challenger",
                "this gate",
                "any gain",
                "gain above 1 point",
                "insufficient",
            )
            for scans in options.scans:
                for challenger in CHALLENGERS:
                    shares = rates(
                        pool,
                        simulate_trial,
                        scans,
                        challenger,
                        policy,
                        trials=options.trials,
                        title=f"{scans} scans, {challenger.name}",
                    )
                    table.add_row(
                        str(scans),
                        challenger.name,
                        *(format_rate(rate, options.trials) for rate in shares),
                    )
        console.print(table)


if __name__ == "__main__":
    main()
