"""Train a challenger, compare it with the champion, and promote it if it is better."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, CronTriggerTimetable, Param, TriggerRule, dag, task, task_group

from tumorml.airflow_plugin.approvals import RecordedApproval, response_timeout
from tumorml.airflow_plugin.links import ReportLink
from tumorml.airflow_plugin.retries import RETRY_TRANSIENT_ERRORS
from tumorml.labels import Task
from tumorml.recipes.load_recipe import recipe_names
from tumorml.settings import get_settings

settings = get_settings()

ALL_TASKS = "all"
CHAMPION = Asset("champion")


@dag(
    # A service that starts after the scheduled time waits for the next night.
    schedule=CronTriggerTimetable(
        settings.retrain_cron, timezone="UTC", run_immediately=timedelta(0)
    ),
    max_active_runs=1,
    catchup=False,
    default_args=RETRY_TRANSIENT_ERRORS,
    tags=["tumorml"],
    params={
        "task": Param(
            ALL_TASKS,
            type="string",
            enum=[ALL_TASKS, *Task],
            description="Task to train. all: every task that has enough labeled scans.",
        ),
        "recipe": Param(
            settings.default_recipe,
            type="string",
            examples=recipe_names(),
            description="Name of a recipe, or path of a recipe file on the worker.",
        ),
        "epochs": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=1000,
            description="Total number of epochs, instead of the recipe's.",
        ),
        "seed": Param(
            None, type=["null", "integer"], minimum=0, description="Random seed of the training."
        ),
        "force": Param(
            False, type="boolean", description="Train even if no scan or label has changed."
        ),
        "given_split": Param(
            False,
            type="boolean",
            description="Benchmark: use the Training and Testing folders of the drops, which may "
            "leak, and report every metric also without the leaking test scans. The model is never "
            "promoted.",
        ),
    },
    doc_md="""
    Runs each night, and by hand with a form. For each task: snapshot > train > evaluate > explain >
    judge > approve > promote > report. A task is skipped if nothing has changed since its last
    verdict. If the policy requires a person's approval, the request is under Required Actions; the
    next run waits for the response. `run_summary`, `verdict_rule` and `champion_history` show the
    results in SQL.
    """,
)
def retrain_champion() -> None:
    @task
    def choose_tasks(params: dict[str, Any]) -> list[str]:
        """Return the tasks to train: the requested one, or all that have enough scans."""
        from tumorml.datasets.snapshots import tasks_with_enough_scans

        if params["task"] != ALL_TASKS:
            return [params["task"]]
        return [str(name) for name in tasks_with_enough_scans(get_settings())]

    @task_group
    def retrain(task_name: str) -> None:
        @task(map_index_template="{{ task.op_args[0] }}")
        def take_snapshot(task_name: str, params: dict[str, Any]) -> str:
            """Freeze the current scans, labels and sides as a snapshot."""
            from tumorml.datasets.snapshots import take_snapshot

            given_split = params["given_split"]
            return take_snapshot(get_settings(), Task(task_name), given_split=given_split)

        @task(map_index_template="{{ run_label | default(task.op_args[0]) }}")
        def plan_run(task_name: str, snapshot_id: str, **context: Any) -> str:
            """Plan the run, or skip with a reason if nothing has changed."""
            from tumorml.airflow_plugin.planned_run import planned_run_or_skip
            from tumorml.training.plan_run import plan_run

            params = context["params"]
            plan = plan_run(
                get_settings(),
                snapshot_id,
                task=Task(task_name),
                trigger=context["dag_run"].run_id,
                recipe=params["recipe"],
                epochs=params["epochs"],
                seed=params["seed"],
                force=params["force"],
            )
            return planned_run_or_skip(plan)

        @task(queue="gpu", pool="gpu", map_index_template="{{ task.op_args[0] }}")
        def train(training_run_id: str) -> str:
            """Train the run, resuming after its last finished epoch."""
            from tumorml.training.train_run import train_run

            train_run(get_settings(), training_run_id)
            return training_run_id

        @task(pool="gpu", map_index_template="{{ task.op_args[0] }}")
        def evaluate(training_run_id: str) -> str:
            """Evaluate challenger, champion and anchor on the same test scans."""
            from tumorml.evaluation.evaluate_run import evaluate_run

            return evaluate_run(get_settings(), training_run_id)

        @task(pool="gpu", map_index_template="{{ task.op_args[0] }}")
        def explain(training_run_id: str) -> int:
            """Store heatmaps of the most confident errors and of some right answers."""
            from tumorml.explain.explain_run import explain_run

            return explain_run(get_settings(), training_run_id)

        @task(map_index_template="{{ task.op_args[0] }}")
        def judge(training_run_id: str) -> str:
            """Apply the promotion policy and record a row for each rule."""
            from tumorml.promotion.judge_run import judge_run

            return judge_run(get_settings(), training_run_id)

        @task(map_index_template="{{ task.op_args[0] }}")
        def request_approval(verdict_id: str) -> dict[str, str]:
            """Return the request to a person; skip if no approval is required."""
            from tumorml.airflow_plugin.approvals import request_or_skip

            return request_or_skip(get_settings(), verdict_id)

        @task(map_index_template="{{ task.op_args[0] }}")
        def record_approval(verdict_id: str, answer: dict[str, Any]) -> str:
            """Record the response, or a rejection if nobody responded in time."""
            from tumorml.airflow_plugin.approvals import record_answer

            return record_answer(get_settings(), verdict_id, answer)

        @task(
            outlets=[CHAMPION],
            trigger_rule=TriggerRule.NONE_FAILED,
            map_index_template="{{ task.op_args[0] or 'no verdict' }}",
        )
        def promote(verdict_id: str | None, **context: Any) -> str:
            """Make the challenger the champion, if it won and was approved."""
            from tumorml.airflow_plugin.approvals import promote_or_skip
            from tumorml.airflow_plugin.triggering_user import triggering_user

            return promote_or_skip(get_settings(), verdict_id, who=triggering_user(context))

        @task(map_index_template="{{ task.op_args[0] }}")
        def report(training_run_id: str) -> str:
            """Write report, slide deck and model card of the run to the object store."""
            from tumorml.reports.run.write_run_report import write_run_report

            return write_run_report(get_settings(), training_run_id)

        planned = plan_run(task_name, take_snapshot(task_name))
        evaluated = evaluate(train(planned))
        verdict_id = judge(evaluated)
        request = request_approval(verdict_id)
        approval = RecordedApproval(
            task_id="approval",
            subject=request["subject"],
            body=request["body"],
            defaults=RecordedApproval.REJECT,
            response_timeout=response_timeout(settings),
            params={
                "why": Param("", type=["null", "string"], description="Stored with the verdict.")
            },
            map_index_template="{{ ti.xcom_pull('retrain.judge', map_indexes=ti.map_index) }}",
        )
        promoted = promote(verdict_id)
        record_approval(verdict_id, approval.output) >> promoted
        reported = report(evaluated)
        reported.operator.operator_extra_links = (ReportLink(),)
        [explain(evaluated), promoted] >> reported

    retrain.expand(task_name=choose_tasks())


retrain_champion()
