"""What Prometheus reads at /metrics of Hail and of Whale."""

import os

import prometheus_client
from prometheus_client import multiprocess

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names where processes keep what they count. prometheus_client reads it when it is imported."""


def exposition() -> bytes:
    """The metrics of this process; under gunicorn of all its workers together."""
    if METRICS_FOLDER not in os.environ:
        return bytes(prometheus_client.generate_latest())
    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the client has no types there
    return bytes(prometheus_client.generate_latest(registry))
