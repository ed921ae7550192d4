-- Each change of champion, with the test F1 of the model version when it was trained.
-- The row whose `until` is null is the current champion of its task.
create view champion_history as
select champion.task,
       champion.model_version_id as model_version,
       champion.since,
       champion.until,
       champion.change,
       champion.who,
       champion.why,
       champion.pinned,
       run.recipe,
       run.id as run,
       champion.verdict_id as verdict,
       (select evaluation.value
        from evaluation
        where evaluation.run_id = run.id
          and evaluation.model_version_id = model_version.id
          and evaluation.split = 'test'
          and evaluation.metric = 'f1_macro'
          and evaluation.slice = 'all') as f1_macro_when_trained
from champion
join model_version on model_version.id = champion.model_version_id
join run on run.id = model_version.run_id;
