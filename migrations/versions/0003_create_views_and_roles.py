"""Create views for queries, and the roles of writer and reader."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

VIEWS = {
    "batch_summary": """
        select b.id as batch, b.drop_name, b.state, b.reason, b.claimed_at, b.finished_at, b.seconds,
               count(f.path) as files,
               count(*) filter (where f.outcome = 'taken_in') as taken_in,
               count(*) filter (where f.outcome = 'duplicate') as duplicates,
               count(*) filter (where f.outcome = 'refused') as refused,
               count(*) filter (where f.outcome = 'companion') as companions,
               b.warnings, b.data_docs_key
        from batch b left join batch_file f on f.batch_id = b.id
        group by b.id
    """,
    "champion_history": """
        select c.task, c.model_version_id as model_version, c.since, c.until, c.change, c.who, c.why,
               c.pinned, r.recipe, r.id as run, c.verdict_id as verdict,
               (select e.value from evaluation e
                 where e.run_id = r.id and e.model_version_id = m.id and e.split = 'test'
                   and e.metric = 'f1_macro' and e.slice = 'all') as f1_macro_when_trained
        from champion c
        join model_version m on m.id = c.model_version_id
        join run r on r.id = m.run_id
    """,
    "run_summary": """
        select r.id as run, r.task, r.recipe, r.state, r.reason, r.seed, r.epochs, r.trigger,
               r.snapshot_id as snapshot, r.created_at, r.finished_at,
               extract(epoch from r.training_finished_at - r.training_started_at)
                   as training_seconds,
               (select count(*) from epoch e where e.run_id = r.id) as epochs_done,
               m.id as model_version, v.outcome as verdict, v.reason as verdict_reason,
               max(e.value) filter (where e.metric = 'accuracy') as accuracy,
               max(e.value) filter (where e.metric = 'f1_macro') as f1_macro,
               max(e.value) filter (where e.metric = 'roc_auc_macro') as roc_auc_macro
        from run r
        left join model_version m on m.run_id = r.id
        left join verdict v on v.run_id = r.id
        left join evaluation e on e.run_id = r.id and e.model_version_id = m.id
                              and e.split = 'test' and e.slice = 'all'
        group by r.id, m.id, v.id
    """,
    "prediction_history": """
        select p.created_at, p.task, p.scan_id as scan, p.true_label, p.label as predicted_label,
               p.probability, p.label = p.true_label as correct, p.probabilities, p.source,
               p.model_version_id as model_version, p.run_id as run, f.path as file,
               f.batch_id as batch, f.patient_id, f.site, p.heatmap_key
        from prediction p
        left join lateral (
            select path, batch_id, patient_id, site from batch_file
            where scan_id = p.scan_id
            order by outcome = 'taken_in' desc, batch_id, path limit 1
        ) f on true
    """,
    "disagreement": """
        select v.created_at, v.task, v.run_id as run, a.scan_id as scan, a.true_label,
               b.label as champion_label, b.probability as champion_probability,
               a.label as challenger_label, a.probability as challenger_probability,
               v.champion_id as champion, v.challenger_id as challenger, v.outcome as verdict
        from verdict v
        join prediction a on a.run_id = v.run_id and a.model_version_id = v.challenger_id
        join prediction b on b.run_id = v.run_id and b.model_version_id = v.champion_id
                         and b.scan_id = a.scan_id
        where a.label <> b.label
    """,
}

ROLES = """
    do $$
    declare role_name text;
    begin
        foreach role_name in array array['tumorml_writer', 'tumorml_reader'] loop
            if not exists (select from pg_roles where rolname = role_name) then
                execute format('create role %I login', role_name);
            end if;
        end loop;
    exception when duplicate_object or unique_violation then
        null;  -- another database of this cluster is migrated at the same time
    end $$
"""

GRANTS = (
    """
    do $$
    begin
        alter role tumorml_reader set default_transaction_read_only = on;
    exception when insufficient_privilege then
        null;  -- another owner created the role; it has no write permission anyway
    end $$
    """,
    "grant usage on schema public to tumorml_writer, tumorml_reader",
    "grant select on all tables in schema public to tumorml_reader",
    "grant select, insert, update, delete on all tables in schema public to tumorml_writer",
    "alter default privileges in schema public grant select on tables to tumorml_reader",
    "alter default privileges in schema public "
    "grant select, insert, update, delete on tables to tumorml_writer",
)


def upgrade() -> None:
    for name, query in VIEWS.items():
        op.execute(f"create view {name} as {query}")
    op.execute(ROLES)
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"drop view {name}")
