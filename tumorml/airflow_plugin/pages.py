"""What the Airflow UI shows of the service, and of a run: report, slides, card and pictures.

Mounted by `plugin`, behind Airflow's own login: whoever may read the runs of
``retrain_champion`` may read these. A file is served where it has an ``artifact`` row.
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

from tumorml.airflow_plugin.addresses import file_address, runs_address
from tumorml.demo import SYNTHETIC
from tumorml.errors import MissingObjectError
from tumorml.objects import object_store
from tumorml.reports.facts import verdict
from tumorml.reports.facts.heatmap_claims import read_heatmap_claim
from tumorml.reports.facts.heatmap_quality import HeatmapClaim
from tumorml.reports.facts.intake import warnings_of
from tumorml.reports.facts.overview import read_overview
from tumorml.reports.render.html import render_page
from tumorml.reports.run import split
from tumorml.results.session import read_session
from tumorml.results.tables import Artifact, Run, Verdict
from tumorml.settings import get_settings

PICTURES = ("heatmap", "feature_maps")
SHOWN_PICTURES = 200
"""More of a run's pictures than its report has are in the results store."""


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run with what is told about it.

    Attributes:
        run: Its row.
        verdict: On it, where it was judged.
        told: Report, slides, card and the like.
        pictures: The first of its heatmaps and feature maps, and
        all_pictures: how many it has of both.
        heatmap_claim: What its heatmaps are worth, where it has some.
    """

    run: Run
    verdict: Verdict | None
    told: Sequence[Artifact]
    pictures: Sequence[Artifact]
    all_pictures: int
    heatmap_claim: HeatmapClaim | None


# What is shown came from drops: nothing in it may run, and nothing may be fetched from elsewhere.
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
    """Who serves, what was judged, what came in, and whether the data are sound."""
    settings = get_settings()
    with read_session(settings) as session:
        found = read_overview(session)
    return _page(
        "overview.html",
        overview=found,
        inbox=object_store(settings).display("inbox"),
        retrain_cron=settings.retrain_cron,
        runs_of=lambda trigger: runs_address(quote(trigger, safe="")),
        split=split,
        synthetic=SYNTHETIC,
        verdict=verdict,
        warnings_of=warnings_of,
    )


@app.get("/runs", response_class=HTMLResponse)
def runs(dag_run: Annotated[str, Query()]) -> HTMLResponse:
    """The runs that a DAG run brought about, one for each task, and what is told about them."""
    with read_session(get_settings()) as session:
        found = session.execute(
            select(Run, Verdict)
            .outerjoin(Verdict, Verdict.run_id == Run.id)
            .where(Run.trigger == dag_run)
            .order_by(Run.task)
        ).all()
        shown = [_shown(session, run, judged) for run, judged in found]
    return _page("runs.html", dag_run=dag_run, runs=shown, verdict=verdict)


@app.get("/files/{key:path}")
def file(key: str) -> Response:
    """One file of the object store that an ``artifact`` row names."""
    settings = get_settings()
    with read_session(settings) as session:
        media_type = session.scalar(select(Artifact.media_type).where(Artifact.object_key == key))
    if media_type is None:
        raise HTTPException(404, f"There is no artifact {key!r}.")
    try:
        data = object_store(settings).read(key)
    except MissingObjectError as error:
        raise HTTPException(404, str(error)) from error
    return Response(data, media_type=media_type, headers=_HEADERS)


def _page(template: str, **values: Any) -> HTMLResponse:
    page = render_page(template, package="tumorml.airflow_plugin", address=file_address, **values)
    return HTMLResponse(page, headers=_HEADERS)


def _shown(session: Session, run: Run, judged: Verdict | None) -> ShownRun:
    of_run = select(Artifact).where(Artifact.run_id == run.id).order_by(Artifact.object_key)
    is_picture = Artifact.kind.in_(PICTURES)
    pictures = session.scalars(of_run.where(is_picture).limit(SHOWN_PICTURES)).all()
    model = next((one.model_version_id for one in pictures if one.model_version_id), None)
    return ShownRun(
        run=run,
        verdict=judged,
        told=session.scalars(of_run.where(~is_picture)).all(),
        pictures=pictures,
        all_pictures=session.scalars(
            select(func.count()).where(Artifact.run_id == run.id, is_picture)
        ).one(),
        heatmap_claim=None if model is None else read_heatmap_claim(session, model),
    )
