-- Each batch with its state and the number of its files by outcome.
create view batch_summary as
select batch.id as batch,
       batch.drop_name,
       batch.state,
       batch.reason,
       batch.claimed_at,
       batch.finished_at,
       batch.seconds,
       count(file.path) as files,
       count(*) filter (where file.outcome = 'taken_in') as taken_in,
       count(*) filter (where file.outcome = 'duplicate') as duplicates,
       count(*) filter (where file.outcome = 'refused') as refused,
       count(*) filter (where file.outcome = 'companion') as companions,
       batch.warnings,
       batch.data_docs_key
from batch
left join batch_file file on file.batch_id = batch.id
group by batch.id;
