import io
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.factories.drop_files import png, write_tar, write_zip
from tumorml.errors import DropRefusedError, StoreRefusedError
from tumorml.scans.contents.tar_archive import TarContents
from tumorml.scans.contents.zip_archive import ZipContents
from tumorml.settings import Settings


class Refusing(io.BytesIO):
    """An archive whose store refuses every read after the first ``reads`` reads."""

    def __init__(self, data: bytes, reads: int) -> None:
        super().__init__(data)
        self.reads = reads

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads -= 1
        if self.reads < 0:
            raise StoreRefusedError("the token has expired")
        return super().read(size)


def test_zip_with_offsets_before_its_start_is_damaged(settings: Settings, tmp_path: Path) -> None:
    end = b"PK\5\6" + bytes(18)
    (tmp_path / "drop").write_bytes(b"PK\6\7" + bytes(12) + b"\1\0\0\0" + end)
    with (
        (tmp_path / "drop").open("rb") as stream,
        pytest.raises(DropRefusedError, match="not a readable zip archive"),
    ):
        ZipContents(stream, settings)


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_expired_credentials_are_not_reported_as_damaged_archive(
    settings: Settings, tmp_path: Path, write: Callable[..., Path]
) -> None:
    data = write(tmp_path / "drop", {f"glioma/{n}.png": png(n) for n in range(3)}).read_bytes()
    kind = ZipContents if write is write_zip else TarContents
    for reads in itertools.count():
        try:
            contents = kind(Refusing(data, reads), settings)
            read = list(contents.read({entry.path for entry in contents.entries}))
        except StoreRefusedError:
            continue
        assert [failure for _, _, failure in read] == [None] * 3
        assert reads > 4
        break
