"""Plan a run, or give the reason why none is needed."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.datasets.resize import PREPROCESSING
from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.models.files import sha256_of
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.load_recipe import load_recipe, recipe_from_text
from tumorml.recipes.recipe import Recipe
from tumorml.results.bulk import copy_rows
from tumorml.results.champions import champion_of
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import ModelVersion, Run, Snapshot, SnapshotScan, Verdict
from tumorml.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned run, or the reason why none is needed.

    Attributes:
        run_id: Id of the run; None if none is needed.
        reason: Message about the planned run, or why none is needed.
    """

    run_id: str | None
    reason: str


def plan_run(
    settings: Settings,
    snapshot_id: str,
    *,
    task: Task,
    trigger: str,
    recipe: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    force: bool = False,
) -> Plan:
    """Plan the run of a recipe on a snapshot.

    The same trigger, recipe and seed always give the same run, on the snapshot that it was first
    planned on. Without ``force`` no run is planned if this recipe was already judged on this
    snapshot against the current champion.

    Args:
        settings: The settings, with the default recipe and seed.
        snapshot_id: The snapshot to train and test on.
        task: The task.
        trigger: Identifies the request, for instance an Airflow run id; part of the run's identity.
        recipe: Name or path of the recipe; None for the default.
        epochs: Total epochs; None for those of the recipe.
        seed: Seed of the training; None for the default.
        force: Plan a run even if nothing has changed.

    Raises:
        TumorMLError: The recipe does not exist or is not valid, or its weights are missing.
    """
    chosen = load_recipe(recipe or settings.default_recipe)
    # A missing file raises here, before any work. A changed file needs a new run.
    weights = find_weights(chosen, settings.weights_folder)
    weights_sha256 = sha256_of(weights) if weights else None
    if epochs is not None:
        chosen = chosen.with_epochs(epochs)
    seed = settings.seed if seed is None else seed
    digests = [chosen.digest, chosen.with_fields(evidence=None).digest]
    chosen = _without_untrained_evidence(settings, chosen, snapshot_id)
    identity = "\n".join((trigger, str(task), snapshot_id, chosen.digest, str(seed)))
    run_id = "r-" + hashlib.sha256(identity.encode()).hexdigest()[:12]

    with read_session(settings) as session:
        snapshot = session.get_one(Snapshot, snapshot_id)
        # A repeated request, for instance of a cleared task, continues its run on its snapshot.
        known_run = session.scalar(
            select(Run.id).where(
                Run.trigger == trigger,
                Run.task == str(task),
                Run.recipe_digest.in_(digests),
                Run.seed == seed,
                Run.given_split.is_(snapshot.given_split),
            )
        )
        if known_run is not None:
            return Plan(known_run, f"run {known_run} continues")
        judged = session.execute(
            select(
                Run.id,
                Verdict.outcome,
                Verdict.created_at,
                Verdict.challenger_id,
                Verdict.champion_id,
            )
            .join(Verdict, Verdict.run_id == Run.id)
            .where(
                Run.snapshot_id == snapshot_id,
                Run.recipe_digest == chosen.digest,
                Run.seed == seed,
                (Run.weights_sha256 == weights_sha256) | Run.warm_start_id.is_not(None),
            )
            .order_by(Verdict.created_at.desc())
            .limit(1)
        ).first()
        serving = champion_of(session, task)
        champion = None if serving is None else serving.model_version_id
    # After a change of champion, the recipe is judged again: its model may now win.
    is_current = judged is not None and (
        snapshot.given_split or champion in (judged.challenger_id, judged.champion_id)
    )
    if judged is not None and is_current and not force:
        return Plan(
            None,
            f"Nothing new for {task}: no scan or label has changed. "
            f"Recipe {chosen.name} was judged on snapshot {snapshot_id} in run {judged.id} "
            f"({judged.outcome}, {judged.created_at:%Y-%m-%d %H:%M} UTC). "
            "Drop new scans, or use force.",
        )
    with write_session(settings) as session:
        warm_start = (
            _warm_start_champion(session, champion, chosen)
            if chosen.warm_start and not snapshot.given_split
            else None
        )
        epochs = (chosen.with_warm_phases() if warm_start else chosen).epochs
        row = {
            "id": run_id,
            "task": str(task),
            "snapshot_id": snapshot_id,
            "recipe": chosen.name,
            "recipe_text": chosen.text,
            "recipe_digest": chosen.digest,
            "seed": seed,
            "epochs": epochs,
            "trigger": trigger,
            "given_split": snapshot.given_split,
            "warm_start_id": warm_start,
            "weights_sha256": None if warm_start else weights_sha256,
        }
        copy_rows(session, Run, [row], on_conflict_do_nothing=True)
    logger.info(
        "run %s: recipe %s, %s epochs, seed %s, on %s",
        run_id,
        chosen.name,
        epochs,
        seed,
        snapshot_id,
    )
    return Plan(run_id, f"run {run_id} of {chosen.name}, {epochs} epochs")


def _without_untrained_evidence(settings: Settings, recipe: Recipe, snapshot_id: str) -> Recipe:
    """Return the recipe without its evidence map if no training scan has a mask.

    Without masks the map is not trained, and LayerCAM localizes tumors better.
    """
    if recipe.evidence is None:
        return recipe
    with read_session(settings) as session:
        masked = session.scalar(
            select(func.count()).where(
                SnapshotScan.snapshot_id == snapshot_id,
                SnapshotScan.split == "train",
                SnapshotScan.masked,
            )
        )
    if masked:
        return recipe
    logger.info("%s: no training scan has a mask, so there is no evidence map", recipe.name)
    return recipe.with_fields(evidence=None)


def _warm_start_champion(session: Session, champion: str | None, recipe: Recipe) -> str | None:
    """Return the champion if its architecture, labels and preprocessing fit the recipe."""
    if champion is None:
        logger.info("%s: there is no champion for a warm start", recipe.name)
        return None
    model = session.get_one(ModelVersion, champion)
    run = session.get_one(Run, model.run_id)
    try:
        champion_recipe = recipe_from_text(
            run.recipe_text, source=f"the recipe of champion {champion}"
        )
    except TumorMLError as error:  # written by a version with other keys
        logger.warning("%s: no warm start: %s", recipe.name, error)
        return None
    if (champion_recipe.architecture, model.labels, model.preprocessing) != (
        recipe.architecture,
        list(LABELS[Task(model.task)]),
        PREPROCESSING,
    ):
        logger.warning(
            "%s: no warm start: champion %s (%s) has another network, input or labels",
            recipe.name,
            champion,
            champion_recipe.name,
        )
        return None
    logger.info("%s: warm start from champion %s", recipe.name, champion)
    return champion


def recipe_of(run: Run) -> Recipe:
    """Return the recipe that a run trains, with the warm phases if it has a warm start."""
    recipe = recipe_from_text(run.recipe_text, source=f"the recipe of run {run.id}")
    return recipe.with_warm_phases() if run.warm_start_id else recipe


def check_weights(settings: Settings, run: Run) -> None:
    """Check that the weights file of a run has not changed since the run was planned.

    The checksum identifies the training scans that a file of weights was trained on.

    Raises:
        TumorMLError: The file has changed or is missing.
    """
    if run.warm_start_id is not None:
        return
    weights = find_weights(recipe_of(run), settings.weights_folder)
    actual = sha256_of(weights) if weights else None
    if actual != run.weights_sha256:
        raise TumorMLError(
            f"Run {run.id} was planned with weights of SHA-256 {run.weights_sha256}, but {weights} "
            f"has {actual}. Restore the file, or start a new run."
        )
