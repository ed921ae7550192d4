"""What the Airflow UI shows of the service, and of a run: report, slides, card and pictures.

Mounted by `plugin`, behind Airflow's own login: whoever may read the runs of
``retrain_champion`` may read these. A file is served where it has an ``artifact`` row.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import Select, select

from tumorml.airflow_plugin.addresses import file_address, runs_address
from tumorml.demo import SYNTHETIC
from tumorml.errors import MissingObjectError
from tumorml.objects import object_store
from tumorml.reports.html import render_page
from tumorml.reports.intake import warnings_of
from tumorml.reports.overview import read_overview
from tumorml.reports.run import split, verdict
from tumorml.results.session import reading
from tumorml.results.tables import Artifact, Run, Verdict
from tumorml.settings import get_settings

PICTURES = ("heatmap", "feature_maps")

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
    with reading(settings) as session:
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
    with reading(get_settings()) as session:
        found = session.execute(
            select(Run, Verdict)
            .outerjoin(Verdict, Verdict.run_id == Run.id)
            .where(Run.trigger == dag_run)
            .order_by(Run.task)
        ).all()
        files = {run.id: session.scalars(_files_of(run.id)).all() for run, _ in found}
    return _page(
        "runs.html", dag_run=dag_run, runs=found, files=files, pictures=PICTURES, verdict=verdict
    )


@app.get("/files/{key:path}")
def file(key: str) -> Response:
    """One file of the object store that an ``artifact`` row names."""
    settings = get_settings()
    with reading(settings) as session:
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


def _files_of(run_id: str) -> Select[Artifact]:
    return select(Artifact).where(Artifact.run_id == run_id).order_by(Artifact.object_key)
