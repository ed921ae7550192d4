from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text

from tumorml.results.session import write_session
from tumorml.settings import Settings

PARTITION = text("select ensure_prediction_partition(:moment)")
RANGE = text(
    "select pg_get_expr(relpartbound, oid) from pg_class where relname = 'prediction_2031_05'"
)


def test_each_month_of_predictions_has_one_partition(settings: Settings) -> None:
    moment = datetime(2031, 5, 31, 23, 59, tzinfo=UTC)
    with write_session(settings) as session:
        session.execute(text("set time zone 'UTC'"))
        for _ in range(2):
            name = session.execute(PARTITION, {"moment": moment}).scalar_one()
            assert name == "prediction_2031_05"
        assert session.execute(RANGE).scalar_one() == (
            "FOR VALUES FROM ('2031-05-01 00:00:00+00') TO ('2031-06-01 00:00:00+00')"
        )
