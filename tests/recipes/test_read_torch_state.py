from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from tumorml.errors import TumorMLError
from tumorml.recipes import read_torch_state as reader
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.load_recipe import load_recipe


class CodeOnLoad:
    """Runs a shell command when it is unpickled without a check."""

    def __init__(self, touched: Path) -> None:
        self._touched = touched

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, (f"touch {self._touched}",)


def legacy_file(path: Path, state: object) -> Path:
    header = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in [*header, state, []]))
    return path


def test_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    path = legacy_file(tmp_path / "evil.pth", {"a": CodeOnLoad(touched)})
    with pytest.raises(TumorMLError, match=r"evil\.pth was refused: .*system"):
        reader.read_torch_state(path)
    assert not touched.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 a zip", pickle.dumps(1), struct.pack("<q", 7)],
    ids=["empty", "zip", "other magic", "noise"],
)
def test_file_in_another_format_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(TumorMLError, match="not a state dict in PyTorch's legacy format"):
        reader.read_torch_state(path)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    published = find_weights(load_recipe("efficientnet-lite0"))
    assert published is not None
    path = tmp_path / "weights.pth"
    path.write_bytes(published.read_bytes()[:-1000])
    with pytest.raises(TumorMLError, match="legacy format"):
        reader.read_torch_state(path)


def test_missing_file_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(TumorMLError, match=r"nowhere\.pth cannot be read: .*No such file"):
        reader.read_torch_state(tmp_path / "nowhere.pth")


def test_tensor_larger_than_its_storage_is_refused() -> None:
    """With strides of 0 one value could be repeated until memory is full."""
    storage = reader._Storage("0", np.dtype(np.float32), 1)
    tensor = reader._Tensor(storage, 0, (10**15,), (0,))
    with pytest.raises(ValueError, match="beyond its storage"):
        reader._as_array(tensor, np.zeros(1, np.float32))
