from __future__ import annotations

import os
from pathlib import Path

from tumorml.results.local_postgres import data_folder, remove_stale_pid_file


def test_pid_file_that_names_another_process_is_removed(tmp_path: Path) -> None:
    pid_file = data_folder(tmp_path) / "postmaster.pid"
    pid_file.parent.mkdir(parents=True)
    pid_file.write_text(f"{os.getpid()}\n")
    remove_stale_pid_file(pid_file.parent)
    assert not pid_file.exists()
