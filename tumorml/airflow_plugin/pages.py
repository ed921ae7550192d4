"""Pages in the Airflow UI: the overview, the runs of a DAG run, and files of the object store.

`plugin` mounts them behind Airflow's login: users who may read the runs of ``retrain_champion`` may
read them. Only files with an ``artifact`` row are served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.airflow_plugin.urls import file_path, runs_path
from tumorml.demo import SYNTHETIC
from tumorml.errors import MissingObjectError
from tumorml.objects import object_store
from tumorml.objects.keys import INBOX
from tumorml.reports.facts import split, verdict
from tumorml.reports.facts.batches import batch_warnings
from tumorml.reports.facts.heatmap_claims import HeatmapClaim, read_heatmap_claim
from tumorml.reports.facts.overview import read_overview
from tumorml.reports.render.html import render_page
from tumorml.results.session import read_session
from tumorml.results.tables import Artifact, Run, Verdict
from tumorml.settings import get_settings

PICTURES = ("heatmap", "feature_maps")
SHOWN_PICTURES = 200
"""Largest number of pictures listed for a run."""


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run with its files.

    Attributes:
        verdict: Its verdict; None if it was not judged.
        documents: Report, slide deck, model card and other files.
        pictures: The first of its heatmaps and feature maps.
        picture_count: Number of all its heatmaps and feature maps.
        heatmap_claim: Statement about how well its heatmaps locate tumors; None if it has no
            pictures.
    """

    run: Run
    verdict: Verdict | None
    documents: Sequence[Artifact]
    pictures: Sequence[Artifact]
    picture_count: int
    heatmap_claim: HeatmapClaim | None


# The pages show text from drops, so browsers must not run scripts or load files of other hosts.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "img-src 'self' data:; frame-src 'self'",
    "X-Content-Type-Options": "nosniff",
}

app = FastAPI(
    title="tumorml",
    dependencies=[
        Depends(requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id="retrain_champion"))
    ],
)


@app.get("/overview", response_class=HTMLResponse)
def overview() -> HTMLResponse:
    """Return the page of champions, recent verdicts, newest batches and the last run's data."""
    settings = get_settings()
    with read_session(settings) as session:
        state = read_overview(session)
    return _page(
        "overview.html",
        overview=state,
        inbox=object_store(settings).display(INBOX),
        retrain_cron=settings.retrain_cron,
        runs_path=lambda trigger: runs_path(quote(trigger, safe="")),
        split=split,
        synthetic=SYNTHETIC,
        verdict=verdict,
        batch_warnings=batch_warnings,
    )


@app.get("/runs", response_class=HTMLResponse)
def runs(dag_run: Annotated[str, Query()]) -> HTMLResponse:
    """Return the page of the runs that a DAG run started, one for each task, and their files."""
    with read_session(get_settings()) as session:
        rows = session.execute(
            select(Run, Verdict)
            .outerjoin(Verdict, Verdict.run_id == Run.id)
            .where(Run.trigger == dag_run)
            .order_by(Run.task)
        ).all()
        shown = [_shown_run(session, run, run_verdict) for run, run_verdict in rows]
    return _page("runs.html", dag_run=dag_run, runs=shown, verdict=verdict)


@app.get("/files/{key:path}")
def file(key: str) -> Response:
    """Return a file of the object store that has an ``artifact`` row."""
    settings = get_settings()
    with read_session(settings) as session:
        media_type = session.scalar(select(Artifact.media_type).where(Artifact.object_key == key))
    if media_type is None:
        raise HTTPException(404, f"There is no artifact with the key {key!r}.")
    try:
        data = object_store(settings).read(key)
    except MissingObjectError as error:
        raise HTTPException(404, str(error)) from error
    return Response(data, media_type=media_type, headers=_HEADERS)


def _page(template: str, **values: Any) -> HTMLResponse:
    page = render_page(template, package="tumorml.airflow_plugin", file_path=file_path, **values)
    return HTMLResponse(page, headers=_HEADERS)


def _shown_run(session: Session, run: Run, run_verdict: Verdict | None) -> ShownRun:
    artifacts = select(Artifact).where(Artifact.run_id == run.id).order_by(Artifact.object_key)
    is_picture = Artifact.kind.in_(PICTURES)
    pictures = session.scalars(artifacts.where(is_picture).limit(SHOWN_PICTURES)).all()
    model = next((one.model_version_id for one in pictures if one.model_version_id), None)
    return ShownRun(
        run=run,
        verdict=run_verdict,
        documents=session.scalars(artifacts.where(~is_picture)).all(),
        pictures=pictures,
        picture_count=session.scalars(
            select(func.count()).where(Artifact.run_id == run.id, is_picture)
        ).one(),
        heatmap_claim=None if model is None else read_heatmap_claim(session, model),
    )
