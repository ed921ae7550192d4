-- Scans whose labels contradict each other: one scan with two labels, or two scans that show one
-- picture and have different labels. `tumor` contradicts `no_tumor` only, because it does not name
-- the type of tumor. A conflict ends when a person settles the label of the scan, or of both scans.
create view label_conflict as
with settled as (
    -- The newest decision of a person counts.
    select distinct on (scan_id) scan_id, label
    from label_decision
    order by scan_id, id desc
),
current_label as (
    select scan_id, label
    from settled
    union all
    select scan_label.scan_id, scan_label.label
    from scan_label
    where not exists (select from settled where settled.scan_id = scan_label.scan_id)
),
first_file as (
    select distinct on (scan_id) scan_id, batch_id, path
    from batch_file
    where scan_id is not null
    order by scan_id, batch_id, path
)
select 'one scan, two labels' as conflict,
       current_label.scan_id as scan,
       null as other_scan,
       string_agg(current_label.label, ', ' order by current_label.label) as labels,
       null::float as score,
       (select batch_id || '/' || path
        from first_file
        where first_file.scan_id = current_label.scan_id) as file,
       null as other_file
from current_label
group by current_label.scan_id
having count(distinct current_label.label) filter (where current_label.label <> 'tumor') > 1
    or bool_or(current_label.label = 'tumor') and bool_or(current_label.label = 'no_tumor')
union all
select twin.kind || ' twins, two labels',
       twin.scan_id,
       twin.other_id,
       one.label || ', ' || other.label,
       twin.score,
       (select batch_id || '/' || path from first_file where first_file.scan_id = twin.scan_id),
       (select batch_id || '/' || path from first_file where first_file.scan_id = twin.other_id)
from twin
join current_label one on one.scan_id = twin.scan_id
join current_label other on other.scan_id = twin.other_id
where twin.kind in ('reencoded', 'mirrored')
  and one.label <> other.label
  and ('tumor' not in (one.label, other.label) or 'no_tumor' in (one.label, other.label))
  and not (exists (select from settled where settled.scan_id = twin.scan_id)
           and exists (select from settled where settled.scan_id = twin.other_id));
