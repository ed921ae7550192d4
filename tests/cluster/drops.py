"""Small drops, put into a stack's inbox with an S3 client."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import botocore.session

from tests.cluster.processes import Cluster
from tumorml.demo.drop import write_demo_drop


def demo_files(folder: Path, patients_per_label: int) -> list[tuple[str, Path]]:
    """Write a synthetic drop with manifest and masks; return (path in the drop, file) pairs."""
    write_demo_drop(folder, patients_per_label=patients_per_label, slices_per_patient=2)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder)), path) for path in files]


def labeled_files(folder: Path, count: int, seed: int = 7) -> list[tuple[str, Path]]:
    """Write at least `count` scans, alternating between labels, in one folder per label."""
    write_demo_drop(folder, seed=seed, patients_per_label=-(-count // 12), slices_per_patient=3)
    by_label: dict[str, list[Path]] = {}
    with (folder / "manifest.csv").open() as manifest:
        for row in csv.DictReader(manifest):
            by_label.setdefault(row["label"], []).append(folder / row["path"])
    turns = zip(*by_label.values(), strict=True)
    return [
        (f"{label}/{path.name}", path)
        for turn in turns
        for label, path in zip(by_label, turn, strict=True)
    ]


def drop(store: Any, name: str, files: Sequence[tuple[str, Path]]) -> list[tuple[str, str]]:
    """Put files into the inbox as one drop; return (drop name, path in the drop) pairs."""
    for inside, path in files:
        store.put_object(Bucket="tumorml", Key=f"inbox/{name}/{inside}", Body=path.read_bytes())
    store.put_object(Bucket="tumorml", Key=f"inbox/{name}/_READY", Body=b"")
    return [(name, inside) for inside, _ in files]


def s3_client(cluster: Cluster) -> Any:
    """Return an S3 client of the stack's store."""
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=cluster.address("store"),
        region_name="us-east-1",
        aws_access_key_id=cluster.variables["S3_ACCESS_KEY"],
        aws_secret_access_key=cluster.variables["S3_SECRET_KEY"],
    )
