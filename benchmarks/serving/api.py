"""Throughput and latency of the API, compared with the usual way to serve a Keras model.

Serves the champion of a home with `tumorml serve`, and the same network with `baseline_api.py`.
Locust (https://locust.io) sends the requests from this machine and slows both servers down alike.
"""

from __future__ import annotations

import argparse
import csv
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from tumorml.objects import object_store
from tumorml.results.champions import champion_of
from tumorml.results.server import results_store
from tumorml.results.session import read_session
from tumorml.results.tables import ModelVersion
from tumorml.settings import Settings

HERE = Path(__file__).parent


def free_port() -> int:
    """Return a free TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(command: list[str], environment: dict[str, str], url: str, ready: str) -> Iterator[int]:
    """Run a server; yield its process id when ``ready``, a path of ``url``, responds."""
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            command, env=os.environ | environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    if httpx.get(url + ready).is_success:
                        break
                except httpx.TransportError:
                    pass
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"{' '.join(command)} did not start:\n{log.read().decode()[-3000:]}")
                time.sleep(0.2)
            yield server.pid
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:  # the usual server finishes all queued requests first
                server.kill()
                server.wait()


def load(url: str, images: Path, heatmap: str, clients: int, seconds: int) -> dict[str, float]:
    """Send requests of simulated clients for a number of seconds.

    Returns:
        Requests per second, median and 99th percentile of the response time in milliseconds,
        number of errors, and number of requests refused with 503 and `Retry-After`.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                sys.executable, "-m", "locust", "-f", str(HERE / "locust_clients.py"), "--headless",
                "--host", url, "-u", str(clients), "-r", str(clients), "-t", f"{seconds}s",
                "--csv", f"{folder}/load", "--only-summary", "--skip-log",
            ],
            env=os.environ | {"IMAGES": str(images), "HEATMAP": heatmap},
            capture_output=True,
            check=False,  # locust exits with 1 if a request failed; failures are counted below
        )  # fmt: skip
        with Path(folder, "load_stats.csv").open() as file:
            rows = {row["Name"]: row for row in csv.DictReader(file)}
    predicted, refused = rows.get("predict"), rows.get("refused")
    if predicted is None:  # no response in time
        return dict.fromkeys(("per second", "p50", "p99", "errors", "refused"), float("nan"))
    return {
        "per second": float(predicted["Requests/s"]),
        "p50": float(predicted["50%"]),
        "p99": float(predicted["99%"]),
        "errors": float(predicted["Failure Count"]),
        "refused": float(refused["Request Count"]) if refused else 0.0,
    }


def main() -> None:
    """Measure both servers and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("home", type=Path, help="home with a champion of the task four_class")
    parser.add_argument("images", type=Path, help="folder of scans to send")
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--seconds", type=int, default=15, help="duration of each measurement")
    parser.add_argument(
        "--soak", type=int, default=0, help="number of requests of a soak test by 8 clients"
    )
    options = parser.parse_args()
    settings = Settings(home=options.home, api_port=free_port())
    console = Console(width=140)
    with results_store(settings):
        with read_session(settings) as session:
            champion = champion_of(session, "four_class")
            if champion is None:
                raise SystemExit(
                    f"{options.home} has no champion of the task four_class. Train one, for "
                    "example with `tumorml up --once`."
                )
            version = session.get_one(ModelVersion, champion.model_version_id)
        model = Path(f"{object_store(settings).local_path(version.object_key)}") / "model.keras"
        ours = (
            [sys.executable, "-m", "tumorml.cli", "serve"],
            {"TUMORML_HOME": str(options.home), "TUMORML_API_PORT": str(settings.api_port)},
            f"http://127.0.0.1:{settings.api_port}",
            "/health/ready",
        )
        port = free_port()
        usual = (
            [sys.executable, "-m", "uvicorn", "baseline_api:app", "--port", str(port), "--app-dir",
             str(HERE), "--log-level", "warning"],
            {"MODEL": str(model), "LABELS": ",".join(version.labels), "LAYER": "features"},
            f"http://127.0.0.1:{port}",
            "/openapi.json",
        )  # fmt: skip
        table = Table(
            "server", "heatmap", "clients", "per second", "p50 (ms)", "p99 (ms)", "errors",
            "refused", "times faster",
        )  # fmt: skip
        usual_rates: dict[tuple[str, int], float] = {}
        for name, server in (("usual", usual), ("tumorml", ours)):
            with process(*server) as pid:
                for heatmap in ("none", "inline"):
                    for image in sorted(options.images.iterdir())[:3]:  # the first requests compile
                        httpx.post(
                            f"{server[2]}/predict?heatmap={heatmap}",
                            files={"images": image.read_bytes()},
                            timeout=120,
                        ).raise_for_status()
                    for clients in options.clients:
                        row = load(server[2], options.images, heatmap, clients, options.seconds)
                        key = (heatmap, clients)
                        usual_rates.setdefault(key, row["per second"])
                        table.add_row(
                            name, heatmap, str(clients), f"{row['per second']:.1f}",
                            f"{row['p50']:.0f}", f"{row['p99']:.0f}", f"{row['errors']:.0f}",
                            f"{row['refused']:.0f}",
                            f"{row['per second'] / usual_rates[key]:.1f}",
                        )  # fmt: skip
                if name == "tumorml" and options.soak:
                    soak(console, pid, server[2], options.images, options.soak)
    console.print(table)


def soak(console: Console, pid: int, url: str, images: Path, requests: int) -> None:
    """Send many requests, and print the memory of the server every 30 seconds."""
    done = 0.0
    while done < requests:
        measured = load(url, images, "none", 8, 30)
        done += measured["per second"] * 30
        megabytes = psutil.Process(pid).memory_info().rss / 1e6
        console.print(f"{done:.0f} requests, {measured['errors']:.0f} errors: {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
