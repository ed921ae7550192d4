-- Each prediction with one file of its scan: preferably a file with the outcome `taken_in`.
-- The file columns are null for scans that were only sent to the API.
create view prediction_history as
select prediction.created_at,
       prediction.task,
       prediction.scan_id as scan,
       prediction.true_label,
       prediction.label as predicted_label,
       prediction.probability,
       prediction.label = prediction.true_label as correct,
       prediction.probabilities,
       prediction.source,
       prediction.model_version_id as model_version,
       prediction.run_id as run,
       file.path as file,
       file.batch_id as batch,
       file.patient_id,
       file.site,
       prediction.heatmap_key,
       prediction.id as prediction,
       prediction.caller,
       prediction.possible_labels,
       prediction.confidence,
       prediction.distance,
       prediction.unlike
from prediction
left join lateral (
    select batch_file.path, batch_file.batch_id, batch_file.patient_id, batch_file.site
    from batch_file
    where batch_file.scan_id = prediction.scan_id
    order by batch_file.outcome = 'taken_in' desc, batch_file.batch_id, batch_file.path
    limit 1
) file on true;
