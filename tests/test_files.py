import os
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from tumorml.files import is_temporary, temporary_beside, write_atomically


def test_write_makes_folders_and_leaves_no_temporary_file(tmp_path: Path):
    path = tmp_path / "new" / "folder" / "state.json"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["state.json"]


def test_failed_write_keeps_old_content(tmp_path: Path):
    path = tmp_path / "weights.npz"
    path.write_bytes(b"old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.npz"]


def test_written_file_has_requested_mode(tmp_path: Path):
    path = tmp_path / "secrets.json"
    write_atomically(path, b"{}", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_temporary_name_is_recognized(tmp_path: Path):
    temporary = temporary_beside(tmp_path / ("long" * 60 + ".png"))
    assert is_temporary(temporary.name)
    assert len(temporary.name) < 255
    assert not is_temporary(".hidden.part")
    assert not is_temporary("scan.png")
