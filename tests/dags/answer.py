"""Respond to the waiting approval as Airflow's API does, or let the scheduler time it out."""

import sys
import time

from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select


def main(option: str, why: str) -> None:
    while not respond(option, why):
        time.sleep(0.5)


def respond(option: str, why: str) -> bool:
    """Respond to a waiting approval; return False if none is waiting or it has not timed out."""
    with create_session() as session:
        waiting = session.scalar(
            select(TaskInstance).where(TaskInstance.state == TaskInstanceState.AWAITING_INPUT)
        )
        if waiting is None:
            return False
        if option == "silence":
            SchedulerJobRunner(Job()).check_awaiting_input_timeouts(session=session)
            return bool(waiting.state != TaskInstanceState.AWAITING_INPUT)
        update_hitl_detail(
            waiting.dag_id,
            waiting.run_id,
            waiting.task_id,
            UpdateHITLDetailPayload(chosen_options=[option], params_input={"why": why}),
            user=SimpleAuthManagerUser(username="ann", role="admin"),
            session=session,
            map_index=waiting.map_index,
        )
        return True


main(*sys.argv[1:])
