-- Each run with its progress, its verdict and its test metrics over all scans.
-- The verdict is `waiting` while the run waits for a person's approval.
create view run_summary as
select run.id as run,
       run.task,
       run.recipe,
       run.state,
       run.reason,
       run.seed,
       run.epochs,
       run.trigger,
       run.snapshot_id as snapshot,
       run.created_at,
       run.finished_at,
       extract(epoch from run.training_finished_at - run.training_started_at) as training_seconds,
       (select count(*) from epoch where epoch.run_id = run.id) as epochs_done,
       model_version.id as model_version,
       case when verdict.approval = 'waiting' then 'waiting' else verdict.outcome end as verdict,
       verdict.reason as verdict_reason,
       max(evaluation.value) filter (where evaluation.metric = 'accuracy') as accuracy,
       max(evaluation.value) filter (where evaluation.metric = 'f1_macro') as f1_macro,
       max(evaluation.value) filter (where evaluation.metric = 'roc_auc_macro') as roc_auc_macro
from run
left join model_version on model_version.run_id = run.id
left join verdict on verdict.run_id = run.id
left join evaluation
       on evaluation.run_id = run.id
      and evaluation.model_version_id = model_version.id
      and evaluation.split = 'test'
      and evaluation.slice = 'all'
group by run.id, model_version.id, verdict.id;
