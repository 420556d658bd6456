"""Messages to one visitor by a real browser, Hail, live and Whale: nothing is lost over a change of pages, and nobody else hears."""

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_tracker_shop import Shop
from tests.browser.tracking import PERSON, forgive, ids, person, tag
from tests.browser.visits import Chromium
from tests.farm import Farm
from tests.servers import RabbitMQ, RedisServer, wait_until

HOW_TO = Path(__file__).parents[2] / "docs/howto/chat.md"
NASTY = '</script><b>"\u2028\u2029 ü'
HEARS = """<script>
window.heard = []
window.trackrPush = [["onmessage", (data, message) => { window.heard.push([data, message.by]) }, %s]]
</script>"""


class Chat(Shop):
    """A shop whose pages hear messages."""

    def __init__(self, site: Site, pk: str, all_: bool = False, **options: str):
        super().__init__(site, pk)
        self.head = HEARS % ("{all: true}" if all_ else "{}") + tag(site.hail, account="default", site=pk, **options)
        self.head += f'<script defer src="{site.hail}/js/trackr.push.js"></script>'
        wait_until(lambda: self._token().status_code == 200, 30, "Hail to know the site")

    def _token(self) -> requests.Response:
        given = {"account": "default", "site": self.pk, "v_visitor": str(uuid.uuid4())}
        return requests.post(f"{self.site.hail}/push_token", json=given, headers={"Origin": self.page("")}, timeout=20)

    def push(self, visitor: str, data: Any) -> Any:
        answer = requests.post(f"{self.site.whale}/push/{self.pk}/{visitor}", json=data, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def listening(self) -> dict[str, int]:
        rows = requests.get(f"{self.site.whale}/push/{self.pk}", timeout=20).json()["rows"]
        return {row["visitor"]: row["pages"] for row in rows}

    def said(self, visitor: str) -> list[tuple[str, str]]:
        found = requests.get(f"{self.site.whale}/push/{self.pk}/{visitor}", timeout=20).json()["messages"]
        return [(each["by"], each["data"]["text"]) for each in found]

    def wait_for(self, visitor: str, pages: int = 1) -> None:
        wait_until(lambda: self.listening().get(visitor) == pages, 30, f"{pages} pages of {visitor}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium(f"--user-agent={PERSON}") as found:
        yield found


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory, rabbitmq: RabbitMQ) -> Iterator[Farm]:
    """A farm with live."""
    folder = tmp_path_factory.mktemp("talking")
    with (
        RedisServer() as redis,
        Farm(folder, redis, rabbitmq, "talks", message_version=2, internal_key="i" * 32) as farm,
    ):
        farm.start_whale()
        farm.start_live()
        yield farm


@pytest.fixture
def chat(request: pytest.FixtureRequest) -> Iterator[Chat]:
    """Of `hailwhale up`, or of the farm where the test says so."""
    if getattr(request, "param", "embedded") == "farm":
        farm = request.getfixturevalue("talking")
        site = Site(farm.url, farm.whale_url, farm.live_url)
    else:
        site = request.getfixturevalue("embedded")
    with Chat(site, f"chat {hash(request.node.name)}") as found:
        yield found


@pytest.fixture
def visit(browser: Chromium, chat: Chat) -> Iterator[tuple[Page, list[str]]]:
    with person(browser) as one:
        yield one


def came(page: Page, chat: Chat, path: str = "/") -> str:
    """The id of the visitor, once their page listens."""
    page.goto(chat.page(path))
    wait_until(lambda: "trackit_v_visitor" in ids(page.context), 20, "the cookie")
    visitor = ids(page.context)["trackit_v_visitor"]
    chat.wait_for(visitor)
    return visitor


def hears(page: Page, *texts: str) -> None:
    """All that this page has heard, in its order."""
    page.wait_for_function("count => heard.length >= count", arg=len(texts))
    assert [data["text"] for data, _ in page.evaluate("heard")] == list(texts)


@pytest.mark.parametrize("chat", ["embedded", "farm"], indirect=True)
def test_a_visitor_says_something_and_is_answered(page: Page, chat: Chat) -> None:
    visitor = came(page, chat)
    page.evaluate("text => trackr.say(text)", NASTY)
    wait_until(lambda: chat.said(visitor) == [("visitor", NASTY)], 20, "what the visitor said")
    assert chat.push(visitor, {"text": NASTY, "more": {"a": [1]}})["reached"] == 1
    hears(page, NASTY)
    assert page.evaluate("heard") == [[{"text": NASTY, "more": {"a": [1]}}, "site"]]
    chat.wait("hits", 2)
    assert chat.children("hits", "event") == {"pageview": 1, "say": 1}
    properties = requests.get(f"{chat.site.whale}/visitor/{visitor}", {"pk": chat.pk}, timeout=20).text
    assert "script" not in properties  # the text is in no log


def test_an_operator_answers_in_the_dashboard(page: Page, chat: Chat) -> None:
    visitor = came(page, chat)
    page.evaluate("text => trackr.say(text)", f"help {NASTY}")
    operator = page.context.new_page()
    operator.goto(f"{chat.site.whale}/?pk={chat.pk}&view=talk")
    operator.get_by_role("link", name=visitor).click()
    expect(operator.get_by_role("log").locator("li")).to_contain_text(["help </script>"])
    operator.get_by_label("Your message").fill(f"here {NASTY}")
    operator.get_by_role("button", name="Send").click()
    hears(page, f"here {NASTY}")
    page.evaluate("trackr.say('thanks')")
    expect(operator.get_by_role("log").locator("li")).to_have_count(3)
    expect(operator.locator("#there .badge")).to_have_text(["1 page"])
    page.goto("about:blank")
    expect(operator.locator("#there .badge")).to_have_text(["gone"])
    operator.close()


def test_a_message_at_a_change_of_pages_comes_once(page: Page, chat: Chat) -> None:
    visitor = came(page, chat)
    chat.push(visitor, {"text": "1"})
    hears(page, "1")
    page.goto("about:blank")
    wait_until(lambda: chat.listening() == {visitor: 0}, 20, "the page to be gone")
    assert chat.push(visitor, {"text": "2"})["reached"] == 0
    came(page, chat, "/kettle.html")
    hears(page, "2")
    chat.push(visitor, {"text": "3"})
    hears(page, "2", "3")
    for number in range(4, 12):  # while pages come and go
        chat.push(visitor, {"text": str(number)})
        page.goto(chat.page("/" if number % 2 else "/kettle.html"))
    heard = chat.said(visitor)
    assert heard == [("site", str(number)) for number in range(1, 12)]
    page.reload()
    chat.wait_for(visitor)
    chat.push(visitor, {"text": "last"})
    page.wait_for_function("heard.length && heard.at(-1)[0].text == 'last'")


def test_a_page_may_show_all_of_the_talk_again(browser: Chromium, embedded: Site) -> None:
    with Chat(embedded, "chat with all", all_=True) as chat, person(browser) as (page, _):
        visitor = came(page, chat)
        page.evaluate("trackr.say('hello')")
        hears(page, "hello")
        chat.push(visitor, {"text": "hi"})
        hears(page, "hello", "hi")
        page.reload()
        hears(page, "hello", "hi")
        assert [by for _, by in page.evaluate("heard")] == ["visitor", "site"]


def test_two_tabs_of_a_visitor_hear_the_same_and_another_visitor_nothing(page: Page, chat: Chat) -> None:
    visitor = came(page, chat)
    second = page.context.new_page()
    second.goto(chat.page("/kettle.html"))
    chat.wait_for(visitor, 2)
    assert chat.push(visitor, {"text": "for two"})["reached"] == 2
    hears(page, "for two")
    hears(second, "for two")
    page.context.clear_cookies()
    stranger = page.context.new_page()
    other = came(stranger, chat)
    assert visitor != other
    chat.push(other, {"text": "for the other"})
    hears(stranger, "for the other")
    hears(second, "for two")


@pytest.mark.parametrize("chat", ["farm"], indirect=True)
def test_live_is_killed_and_comes_back(page: Page, faults: list[str], chat: Chat, talking: Farm) -> None:
    visitor = came(page, chat)
    chat.push(visitor, {"text": "before"})
    hears(page, "before")
    talking.live.kill9()
    chat.push(visitor, {"text": "meanwhile"})
    page.evaluate("trackr.say('are you there?')")
    page.wait_for_timeout(1500)
    talking.start_live()
    hears(page, "before", "meanwhile")
    wait_until(lambda: ("visitor", "are you there?") in chat.said(visitor), 60, "what was said meanwhile")
    assert [by for by, _ in chat.said(visitor)].count("visitor") == 1
    forgive(page, faults, "ERR_CONNECTION_REFUSED", "/push?", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET")


def test_where_streams_bring_nothing_it_asks_by_requests_that_wait(page: Page, faults: list[str], chat: Chat) -> None:
    page.add_init_script("""window.EventSource = class extends EventTarget {
      constructor() { super(); setTimeout(() => this.onerror(new Event('error'))) }
      close() {}
    }""")
    visitor = came(page, chat)
    chat.push(visitor, {"text": "1"})
    hears(page, "1")
    chat.push(visitor, {"text": "2"})
    hears(page, "1", "2")
    assert chat.listening() == {visitor: 1}
    page.reload()
    chat.push(visitor, {"text": "3"})
    hears(page, "3")
    forgive(page, faults, "/push?")


@pytest.mark.parametrize(
    "before",
    [
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})",
        "window.trackr = { q: [['consent', false]] }",
    ],
)
def test_who_does_not_want_to_be_followed_hears_and_says_nothing(page: Page, chat: Chat, before: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script(before)
    page.goto(chat.page("/"))
    chat.wait("pageviews", 1)
    page.wait_for_function("!!(window.trackr && trackr.say)")
    page.evaluate("trackr.say('hello')")
    page.wait_for_timeout(1500)  # longer than it waits for a cookie
    assert [url for url in asked if "/push" in url and "/js/" not in url] == []
    assert chat.listening() == {}
    assert ids(page.context) == {}
    assert page.evaluate("sessionStorage.length") == 0


def test_the_chat_of_the_how_to_shows_both_sides_also_after_a_change_of_pages(page: Page, chat: Chat) -> None:
    (shown,) = re.findall("^```html\n(.*?)^```$", HOW_TO.read_text(), re.M | re.S)
    chat.head = shown.replace("http://127.0.0.1:8085", chat.site.hail)
    chat.head = chat.head.replace('data-site="chat"', f'data-site="{chat.pk}"')
    visitor = came(page, chat)
    page.get_by_label("Your message").fill("Do you ship to Austria? <b>")
    page.get_by_role("button", name="Send").click()
    lines = page.locator("#talk li")
    expect(lines).to_have_text(["You: Do you ship to Austria? <b>"])
    chat.push(visitor, {"text": NASTY})
    expect(lines).to_have_count(2)
    assert lines.nth(1).text_content() == f"We: {NASTY}"
    page.click("nav a[href='/kettle.html']")
    page.wait_for_url("**/kettle.html")
    expect(lines).to_have_count(2)
    assert page.get_by_label("Your message").input_value() == ""


def test_nothing_is_thrown_into_the_page(page: Page, faults: list[str], chat: Chat) -> None:
    visitor = came(page, chat)
    page.evaluate("trackr.onmessage(() => { throw new Error('of the page') })")
    page.evaluate("trackr.onmessage((data, { by }) => { window.later = [data, by] })")
    page.evaluate("trackr.onmessage('no function')")
    page.evaluate("trackr.say('x'.repeat(5000))")  # is refused once, and not said again
    page.evaluate("trackr.say('short')")
    wait_until(lambda: chat.said(visitor) == [("visitor", "short")], 20, "the short one alone")
    for number in range(3):
        chat.push(visitor, {"text": str(number)})
    hears(page, "0", "1", "2")
    page.wait_for_function("window.later && later[0].text == '2'")
    assert sum("answered with 400" in fault for fault in faults) == 1
    forgive(page, faults, "answered with 400")


def test_consent_that_is_taken_back_ends_it_and_given_begins_it(page: Page, chat: Chat) -> None:
    visitor = came(page, chat)
    page.evaluate("trackr.consent(false)")
    wait_until(lambda: chat.listening() == {}, 20, "the page to listen no more")
    chat.push(visitor, {"text": "gone"})
    page.evaluate("trackr.consent(true); trackr.track('again')")
    wait_until(lambda: "trackit_v_visitor" in ids(page.context), 20, "the cookie")
    other = ids(page.context)["trackit_v_visitor"]
    assert other != visitor
    chat.wait_for(other)
    chat.push(other, {"text": "there"})
    hears(page, "there")


def test_a_page_that_the_site_does_not_list_hears_nothing_and_is_not_disturbed(
    page: Page, faults: list[str], chat: Chat
) -> None:
    requests.post(f"{chat.site.whale}/sites/{chat.pk}", json={"origins": ["https://other.example"]}, timeout=20)
    time.sleep(1.5)  # until Hail has asked for it
    page.goto(chat.page("/"))
    page.wait_for_function("!!(window.trackr && trackr.say)")
    page.evaluate("trackr.say('hello')")
    wait_until(lambda: page.evaluate("1") and any("403" in fault for fault in faults), 30, "the refusal")
    assert chat.listening() == {}
    forgive(page, faults, "403", "503")  # until Hail is sure of it
    expect(page.locator("h1")).to_be_visible()
