"""Small drops, put into a stack's inbox as any S3 tool would."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import botocore.session

from tests.cluster.processes import Cluster
from tumorml.demo.drop import write_demo_drop


def labelled_pictures(folder: Path, count: int, seed: int = 7) -> list[tuple[str, Path]]:
    """At least so many pictures, each with its label, the labels in turn."""
    write_demo_drop(folder, seed=seed, patients_per_label=-(-count // 12), slices_per_patient=3)
    by_label: dict[str, list[Path]] = {}
    with (folder / "manifest.csv").open() as manifest:
        for row in csv.DictReader(manifest):
            by_label.setdefault(row["label"], []).append(folder / row["path"])
    turns = zip(*by_label.values(), strict=True)
    return [pair for turn in turns for pair in zip(by_label, turn, strict=True)]


def drop(store: Any, name: str, pictures: list[tuple[str, Path]]) -> list[tuple[str, str]]:
    """Put pictures into the inbox as one drop; its name with the path of each file in it."""
    files = [(f"{label}/{path.name}", path) for label, path in pictures]
    for inside, path in files:
        store.put_object(Bucket="tumorml", Key=f"inbox/{name}/{inside}", Body=path.read_bytes())
    store.put_object(Bucket="tumorml", Key=f"inbox/{name}/_READY", Body=b"")
    return [(name, inside) for inside, _ in files]


def s3_client(cluster: Cluster) -> Any:
    """A client of the stack's own store."""
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=cluster.address("store"),
        region_name="us-east-1",
        aws_access_key_id=cluster.variables["S3_ACCESS_KEY"],
        aws_secret_access_key=cluster.variables["S3_SECRET_KEY"],
    )
