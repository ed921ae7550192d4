"""Retrains, compares with the champion, and promotes what beats it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, CronTriggerTimetable, Param, TriggerRule, dag, task, task_group

from tumorml.airflow_plugin.approvals import RecordedApproval, response_timeout
from tumorml.airflow_plugin.links import ReportLink
from tumorml.airflow_plugin.retries import RETRY_WHAT_MAY_PASS
from tumorml.labels import Task
from tumorml.recipes.load_recipe import recipe_names
from tumorml.settings import get_settings

settings = get_settings()

ALL_TASKS = "all"
CHAMPION = Asset("champion")


@dag(
    # A service that starts after 02:00 waits for the next night.
    schedule=CronTriggerTimetable(
        settings.retrain_cron, timezone="UTC", run_immediately=timedelta(0)
    ),
    max_active_runs=1,
    catchup=False,
    default_args=RETRY_WHAT_MAY_PASS,
    tags=["tumorml"],
    params={
        "task": Param(
            ALL_TASKS,
            type="string",
            enum=[ALL_TASKS, *Task],
            description="What to learn. `all`: every task that has enough labelled scans.",
        ),
        "recipe": Param(
            settings.default_recipe,
            type="string",
            examples=recipe_names(),
            description="A recipe's name, or the path of a recipe file on the worker.",
        ),
        "epochs": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=1000,
            description="Total epochs instead of the recipe's own.",
        ),
        "seed": Param(
            None, type=["null", "integer"], minimum=0, description="Seed of the training."
        ),
        "force": Param(
            False, type="boolean", description="Retrain although no scan or label has changed."
        ),
        "given_split": Param(
            False,
            type="boolean",
            description="Benchmark: follow the drops' own Training and Testing folders, which may "
            "leak, and report every metric also without the leaking test scans. Never promoted.",
        ),
    },
    doc_md="""
    Each night, and by hand with a form: snapshot > train > evaluate > explain > judge > approve >
    promote > report, for each task. Nothing new since the last judgement means a skipped run. A
    person is asked, under Required Actions, where the policy says so; until the answer the next run
    waits. Ask `run_summary`, `verdict_rule` and `champion_history` in SQL for what came of it.
    """,
)
def retrain_champion() -> None:
    @task
    def choose_tasks(params: dict[str, Any]) -> list[str]:
        """The tasks to retrain: the one asked for, or every one that has enough scans."""
        from tumorml.datasets.snapshots import tasks_with_enough_scans

        if params["task"] != ALL_TASKS:
            return [params["task"]]
        return [str(name) for name in tasks_with_enough_scans(get_settings())]

    @task_group
    def retrain(task_name: str) -> None:
        @task(map_index_template="{{ task.op_args[0] }}")
        def take_snapshot(task_name: str, params: dict[str, Any]) -> str:
            """Freeze the scans, labels and sides of today."""
            from tumorml.datasets.snapshots import take_snapshot

            given_split = params["given_split"]
            return take_snapshot(get_settings(), Task(task_name), given_split=given_split)

        @task(map_index_template="{{ run_label | default(task.op_args[0]) }}")
        def plan_run(task_name: str, snapshot_id: str, **context: Any) -> str:
            """The run to do; skips, and says why, where there is nothing new."""
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
        def train(retraining: str) -> str:
            """Train, from the last finished epoch where there is one."""
            from tumorml.training.train_run import train_run

            train_run(get_settings(), retraining)
            return retraining

        @task(pool="gpu", map_index_template="{{ task.op_args[0] }}")
        def evaluate(retraining: str) -> str:
            """Score challenger and champion on the same test scans."""
            from tumorml.evaluation.evaluate_run import evaluate_run

            return evaluate_run(get_settings(), retraining)

        @task(pool="gpu", map_index_template="{{ task.op_args[0] }}")
        def explain(retraining: str) -> int:
            """Store heatmaps of the surest errors and of some right answers."""
            from tumorml.explain.explain_run import explain_run

            return explain_run(get_settings(), retraining)

        @task(map_index_template="{{ task.op_args[0] }}")
        def judge(retraining: str) -> str:
            """Apply the promotion policy; one row for each rule."""
            from tumorml.promotion.judge import judge_run

            return judge_run(get_settings(), retraining)

        @task(map_index_template="{{ task.op_args[0] }}")
        def request_approval(verdict_id: str) -> dict[str, str]:
            """What a person is asked; skipped where nobody is."""
            from tumorml.airflow_plugin.approvals import request_or_skip

            return request_or_skip(get_settings(), verdict_id)

        @task(map_index_template="{{ task.op_args[0] }}")
        def record_approval(verdict_id: str, answer: dict[str, Any]) -> str:
            """Write down who said what, or that nobody did in time."""
            from tumorml.airflow_plugin.approvals import record_answer

            return record_answer(get_settings(), verdict_id, answer)

        @task(
            outlets=[CHAMPION],
            trigger_rule=TriggerRule.NONE_FAILED,
            map_index_template="{{ task.op_args[0] or 'nothing was judged' }}",
        )
        def promote(verdict_id: str | None, **context: Any) -> str:
            """Let the challenger serve, where the verdict says so."""
            from tumorml.airflow_plugin.approvals import promote_or_skip
            from tumorml.airflow_plugin.triggering_user import triggering_user

            return promote_or_skip(get_settings(), verdict_id, who=triggering_user(context))

        @task(map_index_template="{{ task.op_args[0] }}")
        def report(retraining: str) -> str:
            """A report, slides and a model card of the run, in the object store."""
            from tumorml.reports.run.write_run_report import write_run_report

            return write_run_report(get_settings(), retraining)

        run_id = plan_run(task_name, take_snapshot(task_name))
        evaluated = evaluate(train(run_id))
        verdict_id = judge(evaluated)
        request = request_approval(verdict_id)
        approval = RecordedApproval(
            task_id="approval",
            subject=request["subject"],
            body=request["body"],
            defaults=RecordedApproval.REJECT,
            response_timeout=response_timeout(settings),
            params={
                "why": Param("", type=["null", "string"], description="Kept with the verdict.")
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
