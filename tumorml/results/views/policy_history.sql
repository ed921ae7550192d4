-- Each promotion policy that was applied, with the period and the number of its verdicts.
-- A changed policy file appears as a new row.
create view policy_history as
select policy_sha256,
       min(created_at) as first_verdict_at,
       max(created_at) as last_verdict_at,
       count(*) as verdicts,
       count(*) filter (where outcome = 'promoted') as promoted,
       min(policy_text) as policy_text
from verdict
group by policy_sha256;
