"""How gunicorn serves Hail, Whale and live; address, processes and worker class come from the command line.

Each service gets a folder of its own, `<data_dir>/metrics/<service>`, where its processes keep the counters that
/metrics adds up; it is emptied at the start.
"""

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from gunicorn.http.errors import UnsupportedTransferCoding

from hail.access import check_bind, weak_keys
from hail.settings import SettingsError, load
from hail.unreadable import answer_unreadable, other_coding

accesslog = None
errorlog = "-"
loglevel = "warning"
timeout = 60
graceful_timeout = 10
keepalive = 75  # longer than a proxy keeps its own idle connections
limit_request_line = 8190  # a GET hit carries its dimensions in the address
control_socket_disable = True
backlog = 4096  # that wait to be taken in, as many as Linux allows: where it is full, people wait seconds to connect
# Of a proxy on loopback gunicorn would take another SCRIPT_NAME, so `/x/count_now` could be `/count_now`: it believes nobody.
forwarded_allow_ips = ""
forwarder_headers = ""
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None


def service_of(cfg: Any) -> str:
    """`hail`, `whale` or `live`, by the application: hail.web, whale.web, whale.live.web."""
    return str(cfg.default_proc_name).partition(":")[0].removesuffix(".web").rpartition(".")[2]


def on_starting(server: Any) -> None:
    service = service_of(server.cfg)
    try:
        settings = load(os.environ)
        for bind in server.cfg.bind:
            check_bind(bind, settings)
        if service == "whale":  # asks for its store; by name, for hail imports nothing of whale
            import_module("whale.starts").check(settings)
    except SettingsError as error:
        print(f"{service}: {error}", file=sys.stderr)
        sys.exit(2)
    if said := weak_keys(settings):
        print(f"{service}: {said}", file=sys.stderr, flush=True)
    folder = Path(settings.data_dir).absolute() / "metrics" / service
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # read by prometheus_client when a worker imports it


def post_worker_init(worker: Any) -> None:
    answer_unreadable(worker)
    if worker.age == 1:
        service = service_of(worker.cfg)
        print(f"{service}: listens on {', '.join(worker.cfg.bind)}", flush=True)


def pre_request(worker: Any, request: Any) -> None:
    if coding := other_coding(request):
        raise UnsupportedTransferCoding(coding)


def child_exit(server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess  # not before on_starting has named the folder

    multiprocess.mark_process_dead(worker.pid)
