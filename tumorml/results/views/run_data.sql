-- The scans of each run's snapshot, with the dropped files that contained them.
-- Files of batches that were claimed after the snapshot was taken are excluded.
create view run_data as
select run.id as run,
       run.snapshot_id as snapshot,
       snapshot_scan.scan_id as scan,
       snapshot_scan.split,
       snapshot_scan.label,
       snapshot_scan.group_id,
       file.batch_id as batch,
       batch.drop_name,
       file.path as file,
       file.sha256 as file_sha256,
       file.object_key as original,
       batch.claimed_at
from run
join snapshot_scan on snapshot_scan.snapshot_id = run.snapshot_id
join snapshot on snapshot.id = run.snapshot_id
left join (batch_file file join batch on batch.id = file.batch_id)
       on file.scan_id = snapshot_scan.scan_id
      and batch.claimed_at <= snapshot.created_at;
