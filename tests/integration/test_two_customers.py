"""Two customers on one `hailwhale up`, and on one farm behind nginx, as docs/accounts.md and docs/deploy.md tell."""

import re
import signal
from contextlib import ExitStack
from pathlib import Path

import requests

from tests.customers import CUSTOMERS, Customer, Service, two_customers
from tests.farm import PROCFILE, ROOT, Farm, Program
from tests.nginx import nginx
from tests.servers import RabbitMQ, RedisServer, free_port, wait_until
from tests.up import Up

SECRETS = {"internal_key": "i" * 32, "secret": "s" * 32}


def test_two_customers_share_one_server_and_see_nothing_of_each_other(tmp_path: Path) -> None:
    up = Up(tmp_path / "var")
    up.start()
    try:
        urls = [f"http://{each}" for each in (up.hail, up.whale, up.live)]
        service = Service([urls[0]], urls[1], urls[2], up.environ, up.redis(), is_open=True)
        two_customers(service, [Customer(service, name) for name in CUSTOMERS])
        assert service.total() == 0  # `default`, by this machine
    finally:
        up.stop(signal.SIGTERM)


def written(beginning: str) -> list[str]:
    """A command of docs/deploy.md for redis-cli."""
    text = (ROOT / "docs/deploy.md").read_text()
    return next(line.split() for line in text.splitlines() if line.startswith(f"    {beginning}"))


class Nodes:
    """Two nodes with a Hail and a hailwail each, and one with worker, Whale and live: each part with what it needs, and no more.

    Redis knows a user with the rights that docs/deploy.md lists. Nobody may come in by a key of the settings, since none is set.
    """

    def __init__(self, folder: Path, redis: RedisServer, rabbitmq: RabbitMQ, queue: str, **settings: object):
        for command in (written("ACL SETUSER hailwhale on"), written("ACL SETUSER hailwhale ~*")):
            redis.client().execute_command(*command)
        redis.client().execute_command("ACL", "SETUSER", "hailwhale", ">pw")
        (folder / "0").mkdir()
        url = re.sub("//(.*@)?", "//hailwhale:pw@", redis.url)
        self.farm = Farm(folder / "0", redis, rabbitmq, queue, **{**SECRETS, "redis_url": url, **settings})
        whale = self.farm.whale_url
        self.environ = {**self.farm.whale.environ, "HAILWHALE_WHALE_URL": whale}
        self.hails = [self.farm.url, f"http://127.0.0.1:{free_port()}"]
        self.parts: list[Program] = []
        for number, hail in enumerate(self.hails):
            node = folder / str(number)
            node.mkdir(exist_ok=True)
            bind = hail.removeprefix("http://")
            for name, settings_of in (
                ("hail", {"HAIL_BIND": bind, "WHALE_URL": whale, "INTERNAL_KEY": SECRETS["internal_key"]}),
                ("hailwail", {}),
            ):
                self._part(name, node, {"QUEUE": queue, "BROKER_URL": rabbitmq.url, **settings_of})
        for name in ("worker", "whale", "live"):
            self._part(name, folder / "0", {}, self.environ)

    def _part(self, name: str, node: Path, more: dict[str, str], environ: dict[str, str] | None = None) -> None:
        """environ: of a part that needs Redis."""
        own = {key: text for key, text in self.environ.items() if not key.startswith("HAILWHALE_")}
        given = {f"HAILWHALE_{key}": text for key, text in {**more, "DATA_DIR": str(node)}.items()}
        self.parts.append(Program(name, PROCFILE[name], {**(environ or own), **given}, node))

    def start(self) -> None:
        for part in self.parts:
            part.start()
        farm = self.farm
        for url in (*self.hails, farm.whale_url, farm.live_url):
            wait_until(lambda url=url: is_ready(url), 60, url)
        for hail in self.hails:
            wait_until(lambda hail=hail: state(hail)["directory_age_s"] is not None, 60, "a directory")

    def close(self) -> None:
        for part in self.parts:
            part.kill9()


def state(url: str) -> dict[str, object]:
    found: dict[str, object] = requests.get(f"{url}/readyz", timeout=20).json()
    return found


def is_ready(url: str) -> bool:
    try:
        return bool(state(url)["ready"])
    except (requests.RequestException, ValueError):
        return False


def test_two_customers_share_one_farm_behind_nginx_and_see_nothing_of_each_other(
    tmp_path: Path, own_redis: RedisServer, rabbitmq: RabbitMQ, unique: str
) -> None:
    """One Hail stands behind nginx, and one on its node takes what is sent there."""
    with ExitStack() as stack:
        port = free_port()
        address = f"https://localhost:{port}"
        behind = {"live_url": address, "trusted_proxies": "127.0.0.1/32"}
        nodes = Nodes(tmp_path, own_redis, rabbitmq, unique, **behind)
        stack.callback(rabbitmq.delete, unique, f"{unique}.dead")
        stack.callback(nodes.close)
        hosts = [each.removeprefix("http://") for each in (nodes.hails[0], nodes.farm.whale_url, nodes.farm.live_url)]
        stack.enter_context(nginx(tmp_path, *hosts, port=port))
        hails, certificate = [address, nodes.hails[1]], tmp_path / "cert.pem"
        service = Service(hails, address, address, nodes.environ, own_redis.client(), certificate)
        customers = [Customer(service, name) for name in CUSTOMERS]  # against Redis, before anything runs
        nodes.start()
        two_customers(service, customers)
        assert service.total() == service.total(headers={"Authorization": "Bearer x"}) == 401
        assert [part.said() for part in nodes.parts if "Traceback" in part.said()] == []
