"""Every setting of the service, read once from ``TUMORML_*`` variables or a ``.env`` file."""

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
"""Folder of `migrations/`, `dags/` and `promotion.toml`: the checkout, or a wheel's copies."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Settings(BaseSettings):
    """Typed settings; each field is the environment variable ``TUMORML_<NAME>`` in upper case."""

    model_config = SettingsConfigDict(
        env_prefix="TUMORML_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Field(
        PROJECT_ROOT / "var" if _IS_CHECKOUT else Path("~/.local/share/tumorml"),
        description="Folder of everything the local service keeps; default: `var` in a checkout, "
        "`~/.local/share/tumorml` for an installed wheel.",
    )
    database_url: str | None = Field(
        None,
        repr=False,
        description="SQLAlchemy URL of the results store; none: the Postgres under `home`.",
    )
    reader_database_url: str | None = Field(
        None,
        repr=False,
        description="The results store as the role that may only select; none: derived.",
    )
    owner_database_url: str | None = Field(
        None,
        repr=False,
        description="The results store as the role that owns its tables, for migrations; none: "
        "`database_url`.",
    )
    object_store_url: str | None = Field(
        None,
        description="The object store: `file:///folder` or `s3://bucket/prefix`; none: the folder "
        "`objects` under `home`.",
    )
    object_store_patience_seconds: NonNegativeFloat = Field(
        60.0, description="How long a call waits for an S3 store that does not answer."
    )
    s3_endpoint_url: str | None = Field(
        None,
        description="Endpoint of an S3 store that is not Amazon's, such as `http://host:8333`.",
    )
    s3_region: str | None = Field(
        None, description="Region of the bucket; none: AWS_DEFAULT_REGION, else us-east-1."
    )

    settle_seconds: NonNegativeFloat = Field(
        10.0, description="A drop without a _READY file is complete when unchanged for this long."
    )
    inbox_poll_seconds: PositiveFloat = Field(5.0, description="How often the inbox is listed.")
    retrain_cron: str = Field("0 2 * * *", description="When the nightly retraining starts (UTC).")
    ingest_cron: str = Field(
        "45 1 * * *", description="When the inbox is swept, event or not (UTC)."
    )
    score_cron: str = Field("0 5 * * *", description="When waiting scans are scored, event or not.")
    default_recipe: str = Field("efficientnet-lite0", description="Recipe of the nightly run.")
    weights_folder: Path | None = Field(
        None, description="Where published weights lie that no wheel carries."
    )
    seed: NonNegativeInt = Field(20_261_101, description="Seed of training when a run names none.")
    promotion_policy: Path = Field(
        PROJECT_ROOT / "promotion.toml", description="The policy that every verdict follows."
    )

    ingest_shard_files: PositiveInt = Field(
        2_000, description="Files of a drop that one worker reads at a time; a tar is read by one."
    )
    max_archive_files: PositiveInt = Field(200_000, description="Most members of one archive.")
    max_archive_bytes: PositiveInt = Field(
        64 * 1024**3, description="Most bytes that one archive may unpack to."
    )
    max_archive_ratio: PositiveFloat = Field(
        200.0, description="Most times its packed size that one archive member may unpack to."
    )
    max_file_bytes: PositiveInt = Field(256 * 1024**2, description="Largest single image file.")
    max_scan_pixels: PositiveInt = Field(64_000_000, description="Most pixels of one scan.")
    min_scan_side: PositiveInt = Field(
        32, description="Least width and height of a scan, in pixels."
    )
    max_refused_share: Share = Field(
        0.5, description="A batch with a larger share of refused files is quarantined whole."
    )

    validation_share: Share = Field(0.15, description="Share of groups drawn for validation.")
    test_share: Share = Field(0.20, description="Share of groups drawn for the test set.")
    min_training_scans_per_label: NonNegativeInt = Field(
        8,
        description="Least training scans of each label before a run starts; with 0 a label may "
        "be missing, as in a set of tumours only.",
    )
    heatmaps_of_errors: PositiveInt = Field(
        100,
        description="Most heatmaps kept of wrongly classified test scans, missed tumours and the "
        "surest first.",
    )
    heatmaps_per_label: PositiveInt = Field(
        8, description="Heatmaps kept of rightly classified test scans, for each label."
    )

    airflow_port: PositiveInt = Field(8080, description="Port of the Airflow UI, on 127.0.0.1.")
    api_host: str = Field(
        "127.0.0.1", description="Address of the API; any but loopback needs an API key."
    )
    api_port: PositiveInt = Field(8081, description="Port of the API.")
    api_keys: str = Field(
        "",
        repr=False,
        description="API keys beside those of the database: `name:role:sha256`, with commas.",
    )
    api_confidence: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.95, description="How often the true label shall be among the possible ones."
    )
    api_max_images: PositiveInt = Field(64, description="Most images of one request.")
    api_max_bytes: PositiveInt = Field(64 * 1024**2, description="Largest body of a request.")
    api_queue: PositiveInt = Field(
        128, description="Most requests that wait for answers; beyond it callers are sent away."
    )
    api_batch: PositiveInt = Field(16, description="Most scans that are answered at once.")

    ui_host: str = Field(
        "127.0.0.1", description="Address of the page for people, which asks nobody who they are."
    )
    ui_port: PositiveInt = Field(8082, description="Port of the page for people.")
    ui_names: str = Field(
        "127.0.0.1,localhost", description="Names by which browsers may call it, with commas."
    )
    ui_api_key: str = Field(
        "", repr=False, description="Key by which that page asks the API, where keys are."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("ui_api_key")
    @classmethod
    def _a_header(cls, key: str) -> str:
        key = key.strip()
        if not all("!" <= character <= "~" for character in key):
            raise ValueError("a key has neither spaces nor letters beyond ASCII")
        return key

    @property
    def objects_url(self) -> str:
        """The URL of the object store's root."""
        return self.object_store_url or f"file://{self.home / 'objects'}"

    @property
    def airflow_url(self) -> str:
        """The URL of the Airflow UI and API."""
        return _http_url("127.0.0.1", self.airflow_port)

    @property
    def api_url(self) -> str:
        """The URL of the prediction API."""
        return _http_url(self.api_host, self.api_port)

    @property
    def ui_url(self) -> str:
        """The URL of the web UI."""
        return _http_url(self.ui_host, self.ui_port)


def _http_url(host: str, port: int) -> str:
    """Return the URL of a server; a wildcard bind address becomes the loopback address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        TumorMLError: Some cannot be used; each is named, but not what it says: it may be a secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        told = (
            f"TUMORML_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}"
            for one in error.errors(include_input=False, include_context=False)
        )
        raise TumorMLError(f"The settings cannot be used. {'; '.join(told)}.") from None
