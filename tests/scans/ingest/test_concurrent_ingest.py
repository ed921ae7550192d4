from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select

from tests.factories.drop_files import (
    batches,
    files_of,
    labels_of,
    original,
    png,
    write_inbox,
    write_zip,
)
from tests.factories.mixed_drops import SMALL_DROP
from tumorml.results.session import read_session
from tumorml.results.tables import Scan
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.settings import Settings


def count(settings: Settings, table: type) -> int:
    with read_session(settings) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_same_batch_can_be_ingested_concurrently(settings: Settings) -> None:
    write_inbox(settings, "drop", SMALL_DROP)
    (batch_id,) = claim_drops(settings)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: ingest_batch(settings, batch_id), range(3)))
    rows = files_of(settings, batch_id)
    assert len(labels_of(rows)) == 3
    assert all(original(settings, rows[path]) == data for path, data in SMALL_DROP.items())
    assert waiting_drops(settings) == []


def test_batches_with_common_scans_can_be_ingested_concurrently(settings: Settings) -> None:
    files = {f"glioma/{n}.png": png(n) for n in range(20)}
    backwards = dict(reversed(files.items()))
    for number in range(3):
        order = backwards if number % 2 else files
        write_zip(settings.home / f"objects/inbox/drop{number}.zip", order)
    ids = claim_drops(settings)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda batch_id: ingest_batch(settings, batch_id), ids))
    rows = [row for batch_id in ids for row in files_of(settings, batch_id).values()]
    assert sum(row.outcome == "taken_in" for row in rows) == 20
    assert sum(row.outcome == "duplicate" for row in rows) == 40
    assert count(settings, Scan) == 20
    assert {batch.state for batch in batches(settings)} == {"ingested"}


def test_concurrent_claims_create_one_batch(settings: Settings) -> None:
    write_inbox(settings, "drop", SMALL_DROP)
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda _: claim_drops(settings), range(4)))
    assert len({tuple(claim) for claim in claims}) == 1
    assert len(batches(settings)) == 1
