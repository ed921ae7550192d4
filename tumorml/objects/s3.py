"""The object store in a bucket of an S3 server, or under a prefix of one."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tumorml.errors import MissingObjectError, TumorMLError
from tumorml.objects.ranged_file import ranged_file
from tumorml.objects.s3_bucket import Bucket
from tumorml.objects.s3_errors import error_code
from tumorml.objects.store import ObjectStore, StoredObject, check_key

log = logging.getLogger(__name__)

PART_BYTES = 16 * 1024**2
"""Files of two parts or more are uploaded in parts; one part is held in memory."""
_MAX_PARTS = 10_000
_MAX_COPY_BYTES = 5 * 1024**3
_PRECONDITION_CODES = {"ConditionalRequestConflict", "PreconditionFailed", "412"}
"""Codes of a request whose ETag condition does not hold."""


class S3Objects(ObjectStore):
    """Objects of a bucket.

    Args:
        url: ``s3://bucket`` or ``s3://bucket/prefix``.
        endpoint_url: URL of the server; None for AWS_ENDPOINT_URL_S3, or else Amazon S3.
        region: Region of the bucket; None for AWS_DEFAULT_REGION, or else us-east-1.
        patience_seconds: Seconds that one request is retried while the store does not answer.
        page_size: The maximum number of objects on one page of a listing.
    """

    def __init__(
        self,
        url: str,
        *,
        endpoint_url: str | None,
        region: str | None,
        patience_seconds: float,
        page_size: int = 1000,
    ) -> None:
        name, _, prefix = url.removeprefix("s3://").rstrip("/").partition("/")
        if not name:
            raise TumorMLError(
                f"TUMORML_OBJECT_STORE_URL has no bucket: {url!r}. Set it to s3://a-bucket/a-prefix."
            )
        self._bucket = Bucket(name, endpoint_url, region, patience_seconds)
        self._root = f"{prefix}/" if prefix else ""
        self._page_size = page_size

    def local_path(self, key: str) -> Path | None:
        """Return None."""
        check_key(key)
        return None

    def display(self, key: str) -> str:
        """Return the object's ``s3://`` URL."""
        return f"s3://{self._bucket.name}/{self._name(key)}"

    def exists(self, key: str) -> bool:
        """Return whether an object has this key."""
        return self._head(key) is not None

    def find(self, key: str) -> StoredObject | None:
        """Return the object with this key; see `ObjectStore.find`."""
        # Not a HEAD request: some servers report less precise times there than in listings.
        name = self._name(key)
        page = self._bucket.request(
            "list_objects_v2", f"list {self.display(key)}", Prefix=name, MaxKeys=1
        )
        contents = page.get("Contents", [])
        return self._stored(contents[0]) if contents and contents[0]["Key"] == name else None

    def read(self, key: str) -> bytes:
        """Return the object's bytes, verified by its checksum if the server has one."""
        return self._get(key)

    def open(self, key: str) -> IO[bytes]:
        """Open the object as a `RangedFile`; reads fail once the object is overwritten."""
        head = self._head(key)
        if head is None:
            raise self._missing(key)

        def fetch(start: int, end: int) -> bytes:
            return self._get(key, Range=f"bytes={start}-{end - 1}", IfMatch=head["ETag"])

        return ranged_file(head["ContentLength"], fetch)

    def write(self, key: str, data: bytes) -> None:
        """Write bytes to a key; the server verifies their checksum."""
        self._put(key, data)

    def write_file(self, key: str, source: Path, *, overwrite: bool = True) -> None:
        """Copy a local file to a key; see `ObjectStore.write_file`."""
        size = source.stat().st_size
        condition: dict[str, Any] = {} if overwrite else {"IfNoneMatch": "*"}
        with source.open("rb") as file:
            if size < 2 * PART_BYTES:
                self._put(key, file.read(), **condition)
            else:
                part = max(PART_BYTES, math.ceil(size / _MAX_PARTS))
                self._put_in_parts(key, iter(lambda: file.read(part), b""), condition)

    def move(self, source: str, target: str) -> None:
        """Copy the object, then remove the source.

        A crash in between leaves both objects; a second call finishes the move. If the source was
        overwritten in the meantime, it is kept.
        """
        head = self._head(source)
        if head is None:
            raise self._missing(source)
        if head["ContentLength"] < _MAX_COPY_BYTES:
            self._bucket.request(
                "copy_object",
                f"move {self.display(source)} to {self.display(target)}",
                Key=self._name(target),
                CopySource={"Bucket": self._bucket.name, "Key": self._name(source)},
                CopySourceIfMatch=head["ETag"],
            )
        else:
            self._copy_in_parts(source, target, head)
        current_head = self._head(source)
        if current_head is not None and current_head["ETag"] != head["ETag"]:
            log.warning(
                "%s was overwritten while it was moved; the new object is kept",
                self.display(source),
            )
            return
        self.remove(source)

    def remove(self, key: str) -> None:
        """Remove one object; see `ObjectStore.remove`."""
        self._bucket.request("delete_object", f"remove {self.display(key)}", Key=self._name(key))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield every object in a folder; pages are requested when they are needed."""
        request: dict[str, Any] = {"Prefix": f"{self._name(prefix)}/", "MaxKeys": self._page_size}
        while True:
            page = self._bucket.request(
                "list_objects_v2", f"list {self.display(prefix)}", **request
            )
            for listed in page.get("Contents", []):
                key = listed["Key"].removeprefix(self._root)
                if ".." in PurePosixPath(key).parts:
                    log.warning("%s is ignored, because its key contains '..'", key)
                elif not key.endswith("/"):  # the placeholder that consoles create for a folder
                    yield self._stored(listed)
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def remove_empty_folders(self, prefix: str) -> None:
        """Do nothing, because a bucket has no folders."""

    def are_identical(self, one: str, other: str) -> bool:
        """Compare two objects; reads them only if their sizes are equal and their ETags differ."""
        heads = self._head(one), self._head(other)
        for key, head in zip((one, other), heads, strict=True):
            if head is None:
                raise self._missing(key)
        first, second = (head or {} for head in heads)
        if first["ContentLength"] != second["ContentLength"]:
            return False
        return first["ETag"] == second["ETag"] or super().are_identical(one, other)

    def _name(self, key: str) -> str:
        check_key(key)
        return f"{self._root}{key}"

    def _stored(self, listed: dict[str, Any]) -> StoredObject:
        modified = listed["LastModified"]
        version = f"{listed.get('ETag', '')}-{modified.timestamp():.3f}"
        key = listed["Key"].removeprefix(self._root)
        return StoredObject(key, int(listed["Size"]), version, modified)

    def _missing(self, key: str) -> MissingObjectError:
        return MissingObjectError(
            f"{self.display(key)} is not in the object store: restore it from a backup."
        )

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            return self._bucket.request(
                "head_object", f"read {self.display(key)}", Key=self._name(key)
            )
        except FileNotFoundError:
            return None

    def _get(self, key: str, **request: Any) -> bytes:
        try:
            return self._bucket.get(f"read {self.display(key)}", Key=self._name(key), **request)
        except OSError as error:
            if error_code(error) in _PRECONDITION_CODES:
                raise MissingObjectError(
                    f"{self.display(key)} was overwritten while it was read."
                ) from error
            raise

    def _put(self, key: str, data: bytes, **request: Any) -> None:
        purpose = f"write {self.display(key)}"
        try:
            self._bucket.request("put_object", purpose, Key=self._name(key), Body=data, **request)
        except OSError as error:
            if error_code(error) not in _PRECONDITION_CODES:
                raise
            head = self._head(key)
            # A first attempt may have succeeded although its response was lost.
            etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
            if head is None or head["ETag"] != etag:
                raise FileExistsError(self.display(key)) from error

    def _put_in_parts(self, key: str, parts: Iterator[bytes], condition: dict[str, Any]) -> None:
        def send(upload: dict[str, Any]) -> Iterator[str]:
            for number, part in enumerate(parts, 1):
                yield self._bucket.request(
                    "upload_part", purpose, **upload, PartNumber=number, Body=part
                )["ETag"]

        purpose = f"write {self.display(key)}"
        self._in_parts(key, purpose, send, condition)

    def _copy_in_parts(self, source: str, target: str, head: dict[str, Any]) -> None:
        part = max(_MAX_COPY_BYTES // 10, math.ceil(head["ContentLength"] / _MAX_PARTS))

        def send(upload: dict[str, Any]) -> Iterator[str]:
            for number, start in enumerate(range(0, head["ContentLength"], part), 1):
                end = min(start + part, head["ContentLength"]) - 1
                response = self._bucket.request(
                    "upload_part_copy",
                    purpose,
                    **upload,
                    PartNumber=number,
                    CopySource={"Bucket": self._bucket.name, "Key": self._name(source)},
                    CopySourceIfMatch=head["ETag"],
                    CopySourceRange=f"bytes={start}-{end}",
                )
                yield response["CopyPartResult"]["ETag"]

        purpose = f"move {self.display(source)} to {self.display(target)}"
        self._in_parts(target, purpose, send, {})

    def _in_parts(
        self,
        key: str,
        purpose: str,
        send: Callable[[dict[str, Any]], Iterator[str]],
        condition: dict[str, Any],
    ) -> None:
        created = self._bucket.request("create_multipart_upload", purpose, Key=self._name(key))
        upload = {"Key": self._name(key), "UploadId": created["UploadId"]}
        parts: list[dict[str, Any]] = []
        try:
            parts += [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(send(upload), 1)]
            manifest = {"Parts": parts}
            self._bucket.request(
                "complete_multipart_upload",
                purpose,
                **upload,
                MultipartUpload=manifest,
                **condition,
            )
        except BaseException as error:
            if error_code(error) == "NoSuchUpload" and self._consists_of(key, parts):
                return  # the upload was completed, but the response was lost
            self._abort(upload)
            if error_code(error) in _PRECONDITION_CODES:
                raise FileExistsError(self.display(key)) from error
            raise

    def _consists_of(self, key: str, parts: Sequence[dict[str, Any]]) -> bool:
        """Return whether the object consists of these parts.

        The ETag of a multipart object is the MD5 of its parts' MD5 digests, a dash, and the number
        of parts.
        """
        head = self._head(key)
        try:
            digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
        except ValueError:  # the ETags of encrypted objects are not MD5 digests
            return False
        etag = f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'
        return head is not None and head["ETag"] == etag

    def _abort(self, upload: dict[str, Any]) -> None:
        try:
            self._bucket.request(
                "abort_multipart_upload", "abort an upload", patient=False, **upload
            )
        except Exception as error:  # the caller raises the original error
            log.warning("%s: uploaded parts may remain in the bucket: %s", upload["Key"], error)
