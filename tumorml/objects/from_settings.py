"""Open the object store of the settings."""

from __future__ import annotations

from urllib.parse import urlsplit

from tumorml.errors import TumorMLError
from tumorml.objects.local import LocalObjects
from tumorml.objects.store import ObjectStore
from tumorml.settings import Settings


def object_store(settings: Settings) -> ObjectStore:
    """Open the object store of the settings.

    Raises:
        TumorMLError: The URL is neither ``file://`` nor ``s3://``, or the extra ``s3`` is missing.
    """
    url = settings.objects_url
    scheme = urlsplit(url).scheme
    if scheme in ("", "file"):
        return LocalObjects(url)
    if scheme == "s3":
        # s3fs and botocore take half a second to import; a local store does not need them.
        try:
            from tumorml.objects.s3 import S3Objects
        except ImportError as error:
            raise TumorMLError(
                f"The object store {url} needs the extra `s3`: pip install 'tumorml[s3]' ({error})."
            ) from error
        return S3Objects(
            url,
            endpoint_url=settings.s3_endpoint_url,
            region=settings.s3_region,
            patience_seconds=settings.object_store_patience_seconds,
        )
    raise TumorMLError(
        f"The object store URL {url!r} is not supported: set TUMORML_OBJECT_STORE_URL to "
        "file:///a/folder or s3://a-bucket/a-prefix."
    )
