"""The recipes of docs/howto: their commands are run on one real `hailwhale up`, and answer what is printed below them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_readme import ROOT, Shell, answers_what_is_printed, running
from tests.nginx import SITE, nginx
from tests.servers import RabbitMQ, RedisServer, free_port, wait_until
from tests.streams import Stream

RECIPES = sorted(path.name for path in (ROOT / "docs/howto").glob("*.md") if path.name != "README.md")
ALONE = {"backup.md", "demo.md", "farm.md"}  # stop HailWhale, or need other servers


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with running(Shell(tmp_path_factory.mktemp("howto"))) as shell:
        yield shell


@pytest.fixture
def page_views_app(shell: Shell) -> Iterator[str]:
    """The Flask application of the recipe; where it listens."""
    (program,) = re.findall(
        r"^```python\n# shop.py\n(.*?)^```$", (ROOT / "docs/howto/page-views.md").read_text(), re.M | re.S
    )
    (shell.folder / "shop.py").write_text(program)
    port = free_port()
    environ = {**shell.environ, "PYTHONPATH": f"{ROOT}:{shell.folder}"}
    log = shell.folder / "flask.log"
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "flask", "--app", "shop", "run", "--port", str(port)]
        flask = subprocess.Popen(command, cwd=shell.folder, env=environ, stdout=stream, stderr=stream)
    try:
        wait_until(lambda: "Running on" in log.read_text() or flask.poll() is not None, 60, "flask")
        yield f"127.0.0.1:{port}"
    finally:
        flask.terminate()
        flask.wait(30)


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name not in ALONE])
def test_each_command_of_a_recipe_answers_what_is_printed(
    shell: Shell, recipe: str, request: pytest.FixtureRequest
) -> None:
    others = {}
    if recipe == "page-views.md":
        others["127.0.0.1:5000"] = request.getfixturevalue("page_views_app")
    assert answers_what_is_printed(shell, f"docs/howto/{recipe}", others) >= 2


def test_the_index_names_each_recipe() -> None:
    index = (ROOT / "docs/howto/README.md").read_text()
    assert sorted(re.findall(r"^- \[.*\]\((.*)\)$", index, re.M)) == RECIPES


def test_what_was_backed_up_is_there_after_it_was_restored(tmp_path: Path) -> None:
    text = (ROOT / "docs/howto/backup.md").read_text()
    save, restore = (
        re.search(r"^    (tar -czf .*)$", text, re.M),
        re.search(r"^    (mv .*)\n    (tar -xzf .*)$", text, re.M),
    )
    assert save
    assert restore
    shell = Shell(tmp_path)
    count = 'curl http://127.0.0.1:8085/count -d \'{"pk": "saved", "metrics": {"revenue": 5}}\''
    ask = "curl -G http://127.0.0.1:8086/totals -d pk=saved -d period=today -d metrics=revenue"
    with running(shell):
        assert shell.run(count) == "OK"
        wait_until(lambda: '"revenue":5}' in shell.run(ask), 60, "the count")
    shell.run(save[1])
    with running(shell):
        assert shell.run(count) == "OK"
        wait_until(lambda: '"revenue":10}' in shell.run(ask), 60, "the second count")
    shell.run(f"{restore[1]}\n{restore[2]}")
    with running(shell):
        assert '"revenue":5}' in shell.run(ask)
        assert "every accepted hit is accounted for" in shell.run(".venv/bin/hailwhale audit")


def page_behind_nginx_sees_hits(shell: Shell, port: int, read_key: str) -> None:
    """As a browser does it: the page names the stream, a token opens it, and each event comes when it was sent."""
    trusted, page = shell.folder / "cert.pem", f"https://{SITE}"
    curl = f"curl --cacert cert.pem --resolve {SITE}:{port}:127.0.0.1 -H 'Authorization: Bearer {read_key}'"
    said = json.loads(shell.run(f"{curl} {page}:{port}/live_token"))
    assert said["url"] == f"{page}/live"
    assert f"connect-src 'self' {page};" in shell.run(f"{curl} -o /dev/null -D - {page}:{port}/")
    shared = json.loads(
        shell.run(f"{curl} {page}:{port}/shares -H 'Content-Type: application/json' -d '{{\"pk\": \"farm\"}}'")
    )
    assert shared["url"].startswith(f"{page}:{port}/s/")
    headers = {"Host": SITE, "Origin": page, "Accept-Encoding": "gzip"}
    with Stream(f"https://localhost:{port}", headers, trusted, token=said["token"], pk="tail") as stream:
        assert (stream.status, stream.headers["Access-Control-Allow-Origin"]) == (200, page)
        assert "Content-Encoding" not in stream.headers
        assert stream.next("ping").data["redis"] == "up"
        shell.run(f'curl http://{shell.hail}/count -H "Authorization: Bearer $HAILWHALE_WRITE_KEY" -d pk=tail')
        assert stream.next("hit").data["pk"] == ["tail"]
    others = {"Host": SITE, "Origin": "https://evil.example"}
    with Stream(f"https://localhost:{port}", others, trusted, token=said["token"]) as stream:
        assert (stream.status, stream.json()["code"]) == (403, "foreign_origin")


def visitor_hears_behind_nginx(shell: Shell, port: int, admin_key: str) -> None:
    """Hail gives the token, live the stream, each message at once, and Whale takes what is said."""
    page, address = f"https://{SITE}", f"https://{SITE}:{port}"
    shell.run(f".venv/bin/hailwhale site add default chat --open --origin {page}")
    curl = f"curl --cacert cert.pem --resolve {SITE}:{port}:127.0.0.1 -s {address}"
    visitor = "3f2c0f52-6a3e-4d57-9d3f-0d6f6a1f2b3c"
    asked = f'-H \'Origin: {page}\' -d \'{{"site": "chat", "v_visitor": "{visitor}"}}\''
    wait_until(lambda: '"token":"' in shell.run(f"{curl}/push_token {asked}"), 30, "Hail to know the site")
    given = json.loads(shell.run(f"{curl}/push_token {asked}"))
    assert given["url"] == f"{page}/push"
    sent = {"Host": SITE, "Origin": page, "Accept-Encoding": "gzip"}
    of_talk = {"path": "/push", "token": given["token"]}
    with Stream(f"https://localhost:{port}", sent, shell.folder / "cert.pem", **of_talk) as stream:
        assert (stream.status, stream.headers["Access-Control-Allow-Origin"]) == (200, "*")
        assert stream.next("ping").data["redis"] == "up"
        key = f"-H 'Authorization: Bearer {admin_key}'"
        assert '"reached":1' in shell.run(f'{curl}/push/chat/{visitor} {key} -d \'{{"text": "hello"}}\'')
        assert stream.next("message").data["data"] == {"text": "hello"}
        said = shell.run(f'{curl}/push?token={given["token"]} -d \'{{"text": "hi"}}\'')
        assert stream.next("message").id == str(json.loads(said)["id"])


def user_logs_in_behind_nginx(shell: Shell, port: int, admin_key: str) -> None:
    """As a browser does it, which sends the port of nginx in Host and in Origin."""
    page = f"https://{SITE}:{port}"
    curl = f"curl --cacert cert.pem --resolve {SITE}:{port}:127.0.0.1 -s"
    made = '{"name": "default", "password": "correct horse"}'
    admin = f"-H 'Authorization: Bearer {admin_key}' -H 'Content-Type: application/json'"
    assert json.loads(shell.run(f"{curl} {admin} -d '{made}' {page}/users"))["name"] == "default"
    sent = "-d name=default --data-urlencode 'password=correct horse' -o login.txt -D - -w '%{http_code}'"
    said = shell.run(f"{curl} {sent} -H 'Origin: {page}' {page}/login")
    assert said.endswith("303")
    assert re.search(rf"(?mi)^set-cookie: __Host-hailwhale-{port}=\S.*; Secure\s*$", said), said
    assert shell.run(f"{curl} {sent} -H 'Origin: https://{SITE}' {page}/login").endswith("403")


def test_a_farm_behind_nginx_counts_and_answers_and_shows_hits(
    tmp_path: Path, rabbitmq: RabbitMQ, own_redis: RedisServer, unique: str
) -> None:
    shell = Shell(tmp_path)
    names = ("WRITE_KEY", "READ_KEY", "ADMIN_KEY")
    shell.environ |= {f"HAILWHALE_{name}": str(number) * 64 for number, name in enumerate(names)}
    shell.environ |= {
        "HAILWHALE_BROKER_URL": rabbitmq.url,
        "HAILWHALE_REDIS_URL": own_redis.url,
        "HAILWHALE_QUEUE": unique,
        "HAILWHALE_LIVE_URL": f"https://{SITE}",
        "HAILWHALE_TRUSTED_PROXIES": "127.0.0.1/32",
        "HAILWHALE_SECRET": "s" * 32,
        "HAILWHALE_INTERNAL_KEY": "i" * 32,
    }
    try:
        with running(shell), nginx(tmp_path, shell.hail, shell.whale, shell.live) as port:
            real = f"--cacert cert.pem --resolve {SITE}:{port}:127.0.0.1 https://{SITE}:{port}"
            assert answers_what_is_printed(shell, "docs/howto/farm.md", {f"https://{SITE}": real}) == 4
            page_behind_nginx_sees_hits(shell, port, shell.environ["HAILWHALE_READ_KEY"])
            user_logs_in_behind_nginx(shell, port, shell.environ["HAILWHALE_ADMIN_KEY"])
            visitor_hears_behind_nginx(shell, port, shell.environ["HAILWHALE_ADMIN_KEY"])
    finally:
        rabbitmq.delete(unique, f"{unique}.dead")
