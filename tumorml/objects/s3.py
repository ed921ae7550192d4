"""The object store as a bucket of any server that speaks S3, or a prefix in one."""

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
"""Files beyond two parts are sent in parts; one is in memory."""
_MOST_PARTS = 10_000
_LARGEST_COPY_BYTES = 5 * 1024**3


class S3Objects(ObjectStore):
    """Objects of a bucket.

    Args:
        url: ``s3://bucket`` or ``s3://bucket/prefix``.
        endpoint_url: The server; none: Amazon's, or what AWS_ENDPOINT_URL_S3 says.
        region: Of the bucket; none: AWS_DEFAULT_REGION, else us-east-1.
        patience_seconds: How long one request waits for a store that does not answer.
        page_size: Most objects of one listing's page.
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
            raise TumorMLError(f"TUMORML_OBJECT_STORE_URL names no bucket: {url!r}.")
        self._bucket = Bucket(name, endpoint_url, region, patience_seconds)
        self._root = f"{prefix}/" if prefix else ""
        self._page_size = page_size

    def local_path(self, key: str) -> Path | None:
        """None."""
        check_key(key)
        return None

    def display(self, key: str) -> str:
        """The object's ``s3://`` URL."""
        return f"s3://{self._bucket.name}/{self._name(key)}"

    def exists(self, key: str) -> bool:
        """Whether an object has this key."""
        return self._head(key) is not None

    def find(self, key: str) -> StoredObject | None:
        """What ``list`` would say of the one object with this key."""
        # Not asked by HEAD: it tells times less exactly on some servers than listings do.
        name = self._name(key)
        page = self._bucket.ask(
            "list_objects_v2", f"list {self.display(key)}", Prefix=name, MaxKeys=1
        )
        found = page.get("Contents", [])
        return self._stored(found[0]) if found and found[0]["Key"] == name else None

    def read(self, key: str) -> bytes:
        """The object's bytes, verified by the checksum that is kept with it, where one is."""
        return self._get(key)

    def open(self, key: str) -> IO[bytes]:
        """The object as a stream that fetches what is read of it, while nobody writes it anew."""
        head = self._head(key)
        if head is None:
            raise self._missing(key)

        def fetch(start: int, end: int) -> bytes:
            return self._get(key, Range=f"bytes={start}-{end - 1}", IfMatch=head["ETag"])

        return ranged_file(head["ContentLength"], fetch)

    def write(self, key: str, data: bytes) -> None:
        """Put bytes under a key; the server checks them by their checksum."""
        self._put(key, data)

    def write_file(self, key: str, source: Path, *, overwrite: bool = True) -> None:
        """Put a local file's bytes under a key; see `ObjectStore.write_file`."""
        size = source.stat().st_size
        only_new: dict[str, Any] = {} if overwrite else {"IfNoneMatch": "*"}
        with source.open("rb") as file:
            if size < 2 * PART_BYTES:
                self._put(key, file.read(), **only_new)
            else:
                part = max(PART_BYTES, math.ceil(size / _MOST_PARTS))
                self._put_in_parts(key, iter(lambda: file.read(part), b""), only_new)

    def move(self, source: str, target: str) -> None:
        """Copy, then remove what was copied.

        A kill in between leaves both; moving again puts the same bytes there again. What somebody
        wrote over the source in the meantime stays there.
        """
        head = self._head(source)
        if head is None:
            raise self._missing(source)
        if head["ContentLength"] < _LARGEST_COPY_BYTES:
            self._bucket.ask(
                "copy_object",
                f"move {self.display(source)} to {self.display(target)}",
                Key=self._name(target),
                CopySource={"Bucket": self._bucket.name, "Key": self._name(source)},
                CopySourceIfMatch=head["ETag"],
            )
        else:
            self._copy_in_parts(source, target, head)
        now = self._head(source)
        if now is not None and now["ETag"] != head["ETag"]:
            log.warning("%s was written anew while it was moved, and stays", self.display(source))
            return
        self.remove(source)

    def remove(self, key: str) -> None:
        """Remove one object; one that is not there is removed."""
        self._bucket.ask("delete_object", f"remove {self.display(key)}", Key=self._name(key))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object under a prefix, page by page; a page is asked for when it is needed."""
        request: dict[str, Any] = {"Prefix": f"{self._name(prefix)}/", "MaxKeys": self._page_size}
        while True:
            page = self._bucket.ask("list_objects_v2", f"list {self.display(prefix)}", **request)
            for found in page.get("Contents", []):
                key = found["Key"].removeprefix(self._root)
                if ".." in PurePosixPath(key).parts:
                    log.warning("%s is left out: a key with '..' in it cannot be used", key)
                elif not key.endswith("/"):  # the placeholder by which consoles show a folder
                    yield self._stored(found)
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def remove_empty_folders(self, prefix: str) -> None:
        """Nothing: a bucket has no folders."""

    def holds_same(self, one: str, other: str) -> bool:
        """Whether two objects have the same bytes; read only where their ETags do not tell."""
        heads = self._head(one), self._head(other)
        for key, head in zip((one, other), heads, strict=True):
            if head is None:
                raise self._missing(key)
        first, second = (head or {} for head in heads)
        if first["ContentLength"] != second["ContentLength"]:
            return False
        return first["ETag"] == second["ETag"] or super().holds_same(one, other)

    def _name(self, key: str) -> str:
        check_key(key)
        return f"{self._root}{key}"

    def _stored(self, found: dict[str, Any]) -> StoredObject:
        modified = found["LastModified"]
        version = f"{found.get('ETag', '')}-{modified.timestamp():.3f}"
        key = found["Key"].removeprefix(self._root)
        return StoredObject(key, int(found["Size"]), version, modified)

    def _missing(self, key: str) -> MissingObjectError:
        return MissingObjectError(
            f"{self.display(key)} is not in the object store; bring it back from a backup."
        )

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            return self._bucket.ask("head_object", f"read {self.display(key)}", Key=self._name(key))
        except FileNotFoundError:
            return None

    def _get(self, key: str, **request: Any) -> bytes:
        try:
            return self._bucket.get(f"read {self.display(key)}", Key=self._name(key), **request)
        except OSError as error:
            if error_code(error) in _CHANGED:
                raise MissingObjectError(
                    f"{self.display(key)} was written anew while it was read."
                ) from error
            raise

    def _put(self, key: str, data: bytes, **request: Any) -> None:
        what = f"write {self.display(key)}"
        try:
            self._bucket.ask("put_object", what, Key=self._name(key), Body=data, **request)
        except OSError as error:
            if error_code(error) not in _CHANGED:
                raise
            head = self._head(key)
            # The answer to a first try may have been lost: then what is there is ours.
            ours = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
            if head is None or head["ETag"] != ours:
                raise FileExistsError(self.display(key)) from error

    def _put_in_parts(self, key: str, parts: Iterator[bytes], condition: dict[str, Any]) -> None:
        def send(upload: dict[str, Any]) -> Iterator[str]:
            for number, part in enumerate(parts, 1):
                yield self._bucket.ask("upload_part", what, **upload, PartNumber=number, Body=part)[
                    "ETag"
                ]

        what = f"write {self.display(key)}"
        self._in_parts(key, what, send, condition)

    def _copy_in_parts(self, source: str, target: str, head: dict[str, Any]) -> None:
        part = max(_LARGEST_COPY_BYTES // 10, math.ceil(head["ContentLength"] / _MOST_PARTS))

        def send(upload: dict[str, Any]) -> Iterator[str]:
            for number, start in enumerate(range(0, head["ContentLength"], part), 1):
                end = min(start + part, head["ContentLength"]) - 1
                answer = self._bucket.ask(
                    "upload_part_copy",
                    what,
                    **upload,
                    PartNumber=number,
                    CopySource={"Bucket": self._bucket.name, "Key": self._name(source)},
                    CopySourceIfMatch=head["ETag"],
                    CopySourceRange=f"bytes={start}-{end}",
                )
                yield answer["CopyPartResult"]["ETag"]

        what = f"move {self.display(source)} to {self.display(target)}"
        self._in_parts(target, what, send, {})

    def _in_parts(
        self,
        key: str,
        what: str,
        send: Callable[[dict[str, Any]], Iterator[str]],
        condition: dict[str, Any],
    ) -> None:
        begun = self._bucket.ask("create_multipart_upload", what, Key=self._name(key))
        upload = {"Key": self._name(key), "UploadId": begun["UploadId"]}
        parts: list[dict[str, Any]] = []
        try:
            parts += [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(send(upload), 1)]
            whole = {"Parts": parts}
            self._bucket.ask(
                "complete_multipart_upload", what, **upload, MultipartUpload=whole, **condition
            )
        except BaseException as error:
            if error_code(error) == "NoSuchUpload" and self._is_made_of(key, parts):
                return  # It was completed, and the answer was lost.
            self._abort(upload)
            if error_code(error) in _CHANGED:
                raise FileExistsError(self.display(key)) from error
            raise

    def _is_made_of(self, key: str, parts: Sequence[dict[str, Any]]) -> bool:
        """Whether these parts are the object: its ETag is the MD5 of theirs, and their number."""
        head = self._head(key)
        try:
            digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
        except ValueError:  # Encrypted: ETags are no MD5 then, and nobody can tell.
            return False
        etag = f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'
        return head is not None and head["ETag"] == etag

    def _abort(self, upload: dict[str, Any]) -> None:
        try:
            self._bucket.ask("abort_multipart_upload", "end an upload", patient=False, **upload)
        except Exception as error:  # What is left costs space, and hides no failure.
            log.warning("parts of %s may be left behind: %s", upload["Key"], error)


_CHANGED = {"ConditionalRequestConflict", "PreconditionFailed", "412"}
