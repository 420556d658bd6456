"""The view of health: where every hit is, how late counting is, and what is told while parts are away."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kombu
import pytest
from playwright.sync_api import Page, expect

from hail.message import encode_message
from hail.spool import SpoolFolder, SpoolWriter
from tests.browser.conftest import Site
from tests.browser.test_overview import send
from tests.browser.visits import check_keyboard, check_looks
from tests.farm import Farm
from tests.servers import RabbitMQ, RedisServer, free_port, wait_until

PUBLISHER = "f" * 16


def hits(page: Page) -> dict[str, int]:
    """The numbers of the equation, by name."""
    said = page.locator(".equation span").all_inner_texts()
    words = [each.replace("\u202f", "").strip("=+ ").split() for each in said]
    return {name: int(number) for number, name in words}


def test_the_view_of_health_closes(page: Page, site: Site, unique: str) -> None:
    send(site, [{"pk": unique}] * 3)
    page.goto(f"{site.whale}/?view=health")
    expect(page.get_by_role("heading", name="Parts")).to_be_visible()
    found = hits(page)
    assert found.pop("accepted") == sum(found.values()) >= 3
    assert "missing" not in found
    widths = page.locator(".whole-bar rect").evaluate_all("all => all.map(each => Number(each.getAttribute('width')))")
    assert sum(widths) == pytest.approx(1000)
    expect(page.locator("#parts")).to_contain_text("HailWhale")
    page.locator("#hits-tools").click()
    page.get_by_role("button", name="Table").click()
    expect(page.get_by_role("region", name="Table: Every hit that was accepted")).to_contain_text("accepted")


def test_everyone_can_read_and_use_the_view_of_health(page: Page, embedded: Site, unique: str) -> None:
    send(embedded, [{"pk": unique}] * 3)
    page.goto(embedded.whale)
    expect(page.get_by_role("link", name="Health")).to_be_visible()
    page.keyboard.press("h")
    expect(page.get_by_role("list", name="Findings")).to_contain_text("Every hit that was accepted is counted")
    expect(page.locator("#parts")).to_contain_text("takes hits")
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    assert "Health" in check_keyboard(page)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[Farm, RedisServer, str]]:
    """A farm without a broker whose parts may be stopped, and the address of a Hail that is not there."""
    nobody = f"http://127.0.0.1:{free_port()}"
    with RedisServer() as redis, Farm(tmp_path, redis, None) as farm:
        farm.start_whale(HAILWHALE_HAIL_URLS=f"{farm.url}, {nobody}")
        yield farm, redis, nobody


def spooled(farm: Farm, age_s: float) -> None:
    """A message in the spool that was accepted so long ago."""
    at_ms = int((time.time() - age_s) * 1000)
    body = encode_message(PUBLISHER, 0, "default", 1, at_ms, [f'[["old"],{{}},{{"hits":1}},{at_ms}]'.encode()])
    writer = SpoolWriter(SpoolFolder(farm.settings.data_dir), PUBLISHER, 4, 100)
    writer.reserve([len(body)])
    writer.append([body])
    writer.seal()


def asked_until(page: Page, is_told: Callable[[], bool]) -> None:
    """Until the page says so, which asks every five seconds of its clock."""

    def told() -> bool:
        page.clock.fast_forward(5000)
        return is_told()

    wait_until(told, pause_s=0.3)


def test_parts_that_are_away_are_told_until_they_are_back(
    page: Page, alone: tuple[Farm, RedisServer, str], unique: str
) -> None:
    farm, redis, nobody = alone
    site = Site(farm.url, farm.whale_url)
    send(site, [{"pk": unique}] * 3)
    farm.hailwail.kill9()
    spooled(farm, 400)
    page.clock.install()
    page.goto(f"{farm.whale_url}/?pk={unique}&compare=none")
    expect(page.locator("#status")).to_contain_text("late")
    page.get_by_role("link", name="Health").click()
    findings = page.get_by_role("list", name="Findings")
    expect(findings).to_contain_text(f"The Hail at {nobody} cannot be seen")
    expect(findings.get_by_role("listitem").filter(has_text="Counting is")).to_contain_text("Act")
    farm.hail.kill9()
    redis.kill9()
    asked_until(page, lambda: "Redis is away" in findings.inner_text())
    expect(findings).to_contain_text(f"The Hail at {farm.url} cannot be seen")
    redis.start()
    farm.start()
    asked_until(page, lambda: "Redis is away" not in findings.inner_text())
    expect(findings).not_to_contain_text("Counting is")
    expect(findings).not_to_contain_text(f"The Hail at {farm.url}")
    assert hits(page)["waiting"] == 0


def test_dead_messages_come_with_the_line_that_counts_them_again(page: Page, farm: Site, rabbitmq: RabbitMQ) -> None:
    with kombu.Connection(rabbitmq.url) as connection:
        channel = connection.default_channel
        channel.basic_publish(channel.prepare_message(b"no message"), "", "browser.dead")
        try:
            page.goto(f"{farm.whale}/?view=health")
            expect(page.get_by_role("list", name="Findings")).to_contain_text("1 dead message is not counted")
            expect(page.get_by_text("hailwhale doctor --replay")).to_be_visible()
            expect(page.locator("#parts")).to_contain_text("workers read")
        finally:
            channel.queue_purge("browser.dead")
