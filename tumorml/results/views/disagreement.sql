-- Test scans that the challenger and the champion of a verdict label differently.
create view disagreement as
select verdict.created_at,
       verdict.task,
       verdict.run_id as run,
       challenger.scan_id as scan,
       challenger.true_label,
       champion.label as champion_label,
       champion.probability as champion_probability,
       challenger.label as challenger_label,
       challenger.probability as challenger_probability,
       verdict.champion_id as champion,
       verdict.challenger_id as challenger,
       verdict.outcome as verdict
from verdict
join prediction challenger
  on challenger.run_id = verdict.run_id
 and challenger.model_version_id = verdict.challenger_id
join prediction champion
  on champion.run_id = verdict.run_id
 and champion.model_version_id = verdict.champion_id
 and champion.scan_id = challenger.scan_id
where challenger.label <> champion.label;
