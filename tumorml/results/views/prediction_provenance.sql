-- Each prediction with the model version, run and training data that produced it, and with the
-- verdicts that are based on it. For a prediction outside evaluations (`source` is `score` or `api`)
-- these are the verdicts of the run that trained its model version.
create view prediction_provenance as
select prediction.created_at,
       prediction.id as prediction,
       prediction.source,
       prediction.scan_id as scan,
       prediction.true_label,
       prediction.label as predicted_label,
       prediction.probability,
       model_version.id as model_version,
       model_version.sha256 as model_sha256,
       model_version.temperature,
       model_version.operating_point,
       training.id as training_run,
       training.recipe,
       training.recipe_text,
       training.seed,
       training.epochs,
       training.code_version,
       training.libraries,
       training.host,
       training.device,
       training.training_started_at,
       training.training_finished_at,
       training.snapshot_id as training_snapshot,
       snapshot.counts as training_scans,
       training.warm_start_id as went_on_from,
       prediction.run_id as evaluated_in,
       array(
           select verdict.id
           from verdict
           where verdict.run_id = coalesce(prediction.run_id, training.id)
             and prediction.model_version_id
                 in (verdict.challenger_id, verdict.champion_id, verdict.anchor_id)
           order by verdict.created_at
       ) as verdicts
from prediction
join model_version on model_version.id = prediction.model_version_id
join run training on training.id = model_version.run_id
join snapshot on snapshot.id = training.snapshot_id;
