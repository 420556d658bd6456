"""The three lists of calls in CONTRIBUTING.md, followed through running code: every function is called, in the order that is written."""

import re
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import hail.web
from hail.columns import messages_of
from hail.publish import Publisher
from hail.settings import Settings, load
from hail.spool import SpoolFolder
from tests.servers import RedisServer
from tests.wsgi import call
from whale.client import Whale
from whale.count.apply import Applier, MergingApplier
from whale.store import connect
from whale.web import make_app

CONTRIBUTING = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
NOT_HERE = {
    "hail.server.HailWorker.handle_request",  # gunicorn, RabbitMQ, Celery and hailwail are processes of their own
    "hail.broker.Broker.send",
    "whale.count.worker.Consumer.create_task_handler",
    "whale.count.hailwail.Hailwail.once",
    "whale.web.Application.__call__",
}


def written(title: str) -> list[str]:
    lines = CONTRIBUTING.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\d+\. `([\w.]+)`: ", lines, re.M)


class Calls:
    """Notes the first call of each function, in every thread that begins meanwhile too."""

    def __init__(self) -> None:
        self._noted: list[str] = []
        self._known: set[str] = set()

    def __enter__(self) -> "Calls":
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # None ends it

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        name = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}" if event == "call" else ""
        if name and name not in self._known:
            self._known.add(name)
            self._noted.append(name)

    def of(self, functions: list[str]) -> list[str]:
        """Those of some functions that were called."""
        return [name for name in list(self._noted) if name in functions]


def counted(settings: Settings) -> bytes:
    """Sends a hit; the message that it became."""
    publisher = Publisher(settings)
    app = hail.web.make_app(settings, publisher)
    assert (
        call(
            app,
            "GET",
            "/count",
            {"pk": "calls", "dimensions": "here", "id": "1", "metrics": '{"visitors": {"unique": "ann"}}'},
        ).status
        == 200
    )
    publisher.close()
    folder = SpoolFolder(settings.data_dir)
    (name,) = folder.names()
    file = folder.open(name)
    assert file
    (body,) = file.rest().messages
    return body


def test_a_hit_a_message_and_a_question_go_the_way_that_is_written(redis_server: RedisServer, tmp_path: Path) -> None:
    settings = load({"HAILWHALE_REDIS_URL": redis_server.url, "HAILWHALE_DATA_DIR": str(tmp_path)}).replace(
        message_version=2
    )
    hit = written("A hit, from door to queue")
    with Calls() as called:
        body = counted(settings)
    assert called.of(hit) == [name for name in hit if name not in NOT_HERE]

    message = written("A message, from queue to Redis")
    store = connect(settings)
    with Calls() as called:
        MergingApplier(Applier(store, settings), settings).apply(messages_of(body))
    assert called.of(message) == [name for name in message if name not in NOT_HERE]

    question = written("A question, from door to Redis")
    app = make_app(settings, Whale(store, settings))
    with Calls() as called:
        assert call(app, "GET", "/plotpoints", {"pk": "calls", "period": "today"}).json["_"]["hits"][-1][1] == 1
    assert called.of(question) == [name for name in question if name not in NOT_HERE]

    assert {*hit, *message, *question} >= NOT_HERE
    assert min(map(len, (hit, message, question))) > 9
