"""What Prometheus reads at /metrics of Hail and of Whale."""

import os

import prometheus_client
from prometheus_client import multiprocess

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST


def exposition() -> bytes:
    """The metrics of this process; under gunicorn of all its workers together."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return bytes(prometheus_client.generate_latest())
    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the client has no types there
    return bytes(prometheus_client.generate_latest(registry))
