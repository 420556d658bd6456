"""Which browser, platform and kind of device sent a request, and whether it is a program: by its User-Agent.

    User-Agent ──> remembered? ── no ──> browser and platform by ua-parser's rules (in Rust) ── device and class by the words below

Promise: at most MOST_LETTERS are looked at, so no text takes longer than about 0.1 ms. The rules are read when the first agent comes:
a Hail that no page sends to holds none (0.05 s, 13 MB). Rules for models of devices are left out: they would take 15 MB more.
"""

import re
import threading
from operator import attrgetter
from typing import NamedTuple

from hail.room import COST, WIDE, Bounded

MOST_LETTERS = 500
CRAWLER, PROGRAM, HEADLESS, NOTHING, SAID = "crawler", "program", "headless", "empty", "said"
"""Classes of bots: one that reads pages, a library, a browser without a window, no User-Agent, and one that the page itself told of."""
OTHER = "other"
_CRAWLER = re.compile(
    r"(?<!cu)bot\b|bot[/;_-]|crawl|spider|slurp|archiver|fetcher|monitor|preview|scrape|validator|lighthouse|pagespeed|"
    r"facebookexternalhit|mediapartners|bingpreview|embedly|feedfetcher|google-read-aloud|gptbot|ccbot|ptst/|pingdom|uptime|"
    r"\+https?://|https?://[^ ]+\)",
    re.I,
)
_HEADLESS = re.compile(
    r"headless|phantomjs|slimerjs|puppeteer|playwright|selenium|webdriver|electron-fetch|jsdom", re.I
)
_PROGRAM = re.compile(
    r"^(?!mozilla/|opera/)|python|curl/|wget/|libwww|okhttp|java/|go-http|node-fetch|axios|httpclient|aiohttp|guzzle|ruby",
    re.I,
)
_TV = re.compile(r"smart-?tv|\btv\b|appletv|crkey|bravia|roku|hbbtv|webos|netcast|viera|aft[a-z]\b", re.I)
_TABLET = re.compile(r"ipad|tablet|kindle|silk/|playbook|nexus (7|9|10)\b", re.I)
_PHONE = re.compile(r"mobi|iphone|ipod|windows phone|opera mini|blackberry|iemobile", re.I)
_CONSOLE = re.compile(r"playstation|xbox|nintendo", re.I)
_NAMES = {"Mobile Safari": "Safari", "Mobile Safari UI/WKWebView": "Safari", "Chrome Mobile": "Chrome"}
_ENDS = (" iOS", " WebView", " Mobile")


class Agent(NamedTuple):
    """browser, version, platform: empty where nobody knows.  bot: a class, or empty."""

    browser: str = ""
    version: str = ""
    platform: str = ""
    device: str = ""
    bot: str = ""


class Agents:
    """For many threads. most: bytes of what is remembered."""

    def __init__(self, most: float):
        self._known: Bounded[str, Agent] = Bounded("known agents", most, _size_of)
        self._lock = threading.Lock()
        self._rules: _Rules | None = None

    def agent_of(self, text: str) -> Agent:
        """text: a User-Agent. Of one that came before 0.3 us, else 15 us."""
        text = text[:MOST_LETTERS]
        found = self._known.get(text)
        if found is None:
            found = self._read(text)
            self._known.keep(text, found)
        return found

    def _read(self, text: str) -> Agent:
        rules = self._rules
        if rules is None:
            with self._lock:
                rules = self._rules = self._rules or _Rules()
        return rules.agent_of(text)


class _Rules:
    def __init__(self) -> None:
        # read when the first agent comes, as it takes memory
        import ua_parser_rs
        from ua_parser.loaders import load_lazy_builtins

        browsers, platforms, _ = load_lazy_builtins()
        parts = attrgetter("regex", "family", "major", "minor", "patch", "patch_minor")
        self._browsers = ua_parser_rs.UserAgentExtractor(map(parts, browsers))
        self._platforms = ua_parser_rs.OSExtractor(map(parts, platforms))

    def agent_of(self, text: str) -> Agent:
        browser, platform = self._browsers.extract(text), self._platforms.extract(text)
        name = _plain(browser.family) if browser else ""
        return Agent(
            name,
            (browser.major if browser else "") or "",
            platform.family if platform else "",
            _device(text),
            _bot(text),
        )


def _plain(family: str) -> str:
    """A browser without where it runs."""
    name = _NAMES.get(family, family)
    for end in _ENDS:
        name = name.removesuffix(end)
    return name


def _device(text: str) -> str:
    if _TV.search(text):
        return "tv"
    if _CONSOLE.search(text):
        return "console"
    if _TABLET.search(text) or ("Android" in text and not ("Mobile" in text or "Mini" in text)):
        return "tablet"
    return "phone" if _PHONE.search(text) else "desktop"


def _bot(text: str) -> str:
    """Its class; empty for what people use."""
    if not text.strip():
        return NOTHING
    if _HEADLESS.search(text):
        return HEADLESS
    if _CRAWLER.search(text):
        return CRAWLER
    return PROGRAM if _PROGRAM.search(text) else ""


def _size_of(text: str, agent: Agent) -> int:
    return 3 * COST + WIDE * len(text) + sum(map(len, agent))
