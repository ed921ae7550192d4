"""All settings of the service, read from ``TUMORML_*`` variables or a ``.env`` file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from tumorml.errors import TumorMLError

_PACKAGE = Path(__file__).resolve().parent
_IS_CHECKOUT = (_PACKAGE.parent / "pyproject.toml").is_file()

PROJECT_ROOT = _PACKAGE.parent if _IS_CHECKOUT else _PACKAGE / "_bundled"
"""Folder of `migrations/`, `dags/` and `promotion.toml`: the checkout, or the copies in a wheel."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Settings(BaseSettings):
    """Typed settings; the field ``name`` is the environment variable ``TUMORML_NAME``."""

    model_config = SettingsConfigDict(
        env_prefix="TUMORML_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Field(
        PROJECT_ROOT / "var" if _IS_CHECKOUT else Path("~/.local/share/tumorml"),
        description="Folder of all data of the local service. Default: `var` in a checkout, "
        "`~/.local/share/tumorml` for an installed wheel.",
    )
    database_url: str | None = Field(
        None,
        repr=False,
        description="SQLAlchemy URL of the results store, as the role that writes rows. Default: "
        "the Postgres that the service runs under `home`.",
    )
    reader_database_url: str | None = Field(
        None,
        repr=False,
        description="URL of the results store as the role that can only select. Default: "
        "`database_url` with read-only transactions.",
    )
    owner_database_url: str | None = Field(
        None,
        repr=False,
        description="URL of the results store as the role that owns the tables, for migrations. "
        "Default: `database_url`.",
    )
    object_store_url: str | None = Field(
        None,
        description="URL of the object store: `file:///folder` or `s3://bucket/prefix`. Default: "
        "the folder `objects` under `home`.",
    )
    object_store_patience_seconds: NonNegativeFloat = Field(
        60.0, description="Seconds to keep retrying an S3 store that does not answer."
    )
    s3_endpoint_url: str | None = Field(
        None,
        description="Endpoint of an S3 store other than Amazon's, such as `http://host:8333`.",
    )
    s3_region: str | None = Field(
        None, description="Region of the bucket. Default: `AWS_DEFAULT_REGION`, else us-east-1."
    )

    settle_seconds: NonNegativeFloat = Field(
        10.0,
        description="Seconds without a change after which a drop that has no `_READY` file counts "
        "as complete.",
    )
    inbox_poll_seconds: PositiveFloat = Field(
        5.0, description="Seconds between two listings of the inbox."
    )
    retrain_cron: str = Field(
        "0 2 * * *", description="Schedule of the nightly retraining (cron, UTC)."
    )
    ingest_cron: str = Field(
        "45 1 * * *",
        description="Schedule of ingest (cron, UTC). New drops also start it at once.",
    )
    score_cron: str = Field(
        "0 5 * * *",
        description="Schedule of scoring unlabeled scans (cron, UTC). New scans and a new champion "
        "also start it at once.",
    )
    default_recipe: str = Field(
        "efficientnet-lite0", description="Recipe of the nightly retraining."
    )
    weights_folder: Path | None = Field(
        None,
        description="Folder of downloaded pretrained weights, for recipes whose weights are in no "
        "Python package.",
    )
    seed: NonNegativeInt = Field(20_261_101, description="Default random seed of a training run.")
    promotion_policy: Path = Field(
        PROJECT_ROOT / "promotion.toml", description="File of the promotion policy."
    )

    ingest_shard_files: PositiveInt = Field(
        2_000,
        description="Files per shard. A larger drop is split into shards, which workers read in "
        "parallel; a tar archive is always one shard.",
    )
    max_archive_files: PositiveInt = Field(
        200_000, description="Maximum number of members of an archive."
    )
    max_archive_bytes: PositiveInt = Field(
        64 * 1024**3, description="Maximum unpacked size of an archive, in bytes."
    )
    max_archive_ratio: PositiveFloat = Field(
        200.0, description="Maximum ratio of unpacked to packed size of an archive member."
    )
    max_file_bytes: PositiveInt = Field(
        256 * 1024**2, description="Maximum size of an image file, in bytes."
    )
    max_scan_pixels: PositiveInt = Field(
        64_000_000, description="Maximum number of pixels of a scan."
    )
    min_scan_side: PositiveInt = Field(
        32, description="Minimum width and height of a scan, in pixels."
    )
    max_refused_share: Share = Field(
        0.5,
        description="Maximum share of refused files in a batch, 0 to 1. Above it, the whole batch "
        "is quarantined.",
    )

    validation_share: Share = Field(0.15, description="Share of groups in validation, 0 to 1.")
    test_share: Share = Field(0.20, description="Share of groups in the test set, 0 to 1.")
    min_training_scans_per_label: NonNegativeInt = Field(
        8,
        description="Minimum number of training scans of each label. Below it, no run starts. "
        "With 0, a label may be missing, as in a data set of tumors only.",
    )
    heatmaps_of_errors: PositiveInt = Field(
        100,
        description="Maximum number of heatmaps of misclassified test scans per run: missed tumors "
        "first, then by descending confidence.",
    )
    heatmaps_per_label: PositiveInt = Field(
        8, description="Number of heatmaps of correctly classified test scans per label and run."
    )

    airflow_port: PositiveInt = Field(8080, description="Port of the Airflow UI, on 127.0.0.1.")
    api_host: str = Field(
        "127.0.0.1",
        description="Bind address of the API. An address other than loopback requires API keys.",
    )
    api_port: PositiveInt = Field(8081, description="Port of the API.")
    api_keys: str = Field(
        "",
        repr=False,
        description="API keys in addition to those in the database: `name:role:sha256`, separated "
        "by commas.",
    )
    api_confidence: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.95,
        description="Confidence of prediction sets: the intended share of scans whose set of "
        "possible labels contains the true label.",
    )
    api_max_images: PositiveInt = Field(64, description="Maximum number of images per request.")
    api_max_bytes: PositiveInt = Field(
        64 * 1024**2, description="Maximum size of a request body, in bytes."
    )
    api_queue: PositiveInt = Field(
        128,
        description="Maximum number of prediction requests in progress. Additional "
        "requests receive status 503.",
    )
    api_batch: PositiveInt = Field(16, description="Maximum number of scans per inference batch.")

    ui_host: str = Field("127.0.0.1", description="Bind address of the web UI, which has no login.")
    ui_port: PositiveInt = Field(8082, description="Port of the web UI.")
    ui_names: str = Field(
        "127.0.0.1,localhost",
        description="Host names under which browsers may open the web UI, separated by commas.",
    )
    ui_api_key: str = Field(
        "", repr=False, description="API key of the web UI, if the API requires keys."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("ui_api_key")
    @classmethod
    def _header_value(cls, key: str) -> str:
        key = key.strip()
        if not all("!" <= character <= "~" for character in key):
            raise ValueError("an API key contains printable ASCII characters only, and no spaces")
        return key

    @property
    def objects_url(self) -> str:
        """URL of the root of the object store."""
        return self.object_store_url or f"file://{self.home / 'objects'}"

    @property
    def airflow_url(self) -> str:
        """URL of the Airflow UI and API."""
        return _http_url("127.0.0.1", self.airflow_port)

    @property
    def api_url(self) -> str:
        """URL of the prediction API."""
        return _http_url(self.api_host, self.api_port)

    @property
    def ui_url(self) -> str:
        """URL of the web UI."""
        return _http_url(self.ui_host, self.ui_port)


def _http_url(host: str, port: int) -> str:
    """Return the URL of a server; a wildcard bind address becomes the loopback address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process; they are read once.

    Raises:
        TumorMLError: Values are invalid. The message names the variables but not their values,
            because a value may be a secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = (
            f"TUMORML_{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_context=False)
        )
        raise TumorMLError(f"Invalid settings. {'; '.join(problems)}.") from None
