"""What Prometheus reads at /metrics of Hail and of Whale."""

import os

import prometheus_client
from prometheus_client import Counter, Gauge, multiprocess

from hail.room import held

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names where processes keep what they count. prometheus_client reads it when it is imported."""
CONNECTIONS = Gauge("hailwhale_connections", "Open connections", multiprocess_mode="livesum")
CONNECTION_BYTES = Gauge(
    "hailwhale_connection_bytes",
    "Bytes of heads, bodies and answers held for open connections",
    multiprocess_mode="livesum",
)
CONNECTIONS_CLOSED = Counter("hailwhale_connections_closed", "Connections closed while they waited", ["why"])
HELD = Gauge(
    "hailwhale_held_bytes", "Bytes in caches, buffers and queues, by name", ["what"], multiprocess_mode="livesum"
)
MOST = Gauge(
    "hailwhale_held_bytes_most",
    "Limits of caches, buffers and queues in bytes, by name",
    ["what"],
    multiprocess_mode="livesum",
)
_told: dict[tuple[Gauge, str], int] = {}


def tell_held() -> None:
    """Sets the gauges of what this process holds: for those of its siblings who are asked for /metrics."""
    for name, row in held().items():
        for gauge, number in zip((HELD, MOST), row, strict=True):
            if (
                _told.get((gauge, name)) != number
            ):  # a new float each second may be all that keeps a megabyte from the system
                _told[gauge, name] = number
                gauge.labels(name).set(number)


def exposition() -> bytes:
    """The metrics of this process; under gunicorn of all its workers together."""
    tell_held()
    if METRICS_FOLDER not in os.environ:
        return bytes(prometheus_client.generate_latest())
    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return bytes(prometheus_client.generate_latest(registry))
