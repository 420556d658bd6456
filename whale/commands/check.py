"""`hailwhale check URL`: fetches a page as anybody would, and says what the tracker lacks there: the tag, the script, the page's policy,
the account, the site, or its origin.

It counts nothing: the hit that it sends has a time long ahead, so Hail refuses it, and looks before at who sends it.
Exit codes: 0 the page is counted, 1 something is wrong, 2 the address cannot be read.
"""

import base64
import hashlib
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import click
import msgspec
from rich.console import Console

from hail.hit import Reason
from whale.commands.fetching import Fetched, fetch
from whale.commands.finding import ADVICE, FINE, WRONG, Finding, Findings
from whale.commands.policy import HASHES, Policy, lets_load, lets_run, lets_send, policies_of
from whale.errors import SetupError

AGENT = "Mozilla/5.0 (compatible; hailwhale-check)"
SCRIPT = re.compile(r"/js/trackr(\.core)?(-[0-9a-f]+)?\.js$")
LOADER = re.compile(r"new\s+(?:window\.)?Trackr\s*\(")
OPTION = r"""["']?%s["']?\s*:\s*["']?([^"',}\s]+)"""
HOW = '<script defer data-account="…" data-site="…" src="https://counts.example/js/trackr.js"></script>'
PAUSES_S = (1.0, 1.0, 1.0, 1.0)
NO_HIT = {"event": "check", "at": 4e12}  # in 2096
SITE_ADD = "hailwhale site add"
ADVISED: Mapping[str, str] = {
    Reason.UNKNOWN_ACCOUNT: "Hail knows no such account: write the name that `hailwhale account list` shows",
    Reason.UNKNOWN_SITE: f"the account has no such site: add it with `{SITE_ADD}`, or write its name as data-site",
    Reason.NO_DIRECTORY: "Hail has not reached Whale yet, so it knows no sites: try again",
}


class Tag(NamedTuple):
    """What loads the tracker in a page. server: where it sends to.  text: of a script in the page, else "".  integrity: as in the tag."""

    script: str
    server: str
    account: str
    site: str
    text: str = ""
    nonce: str = ""
    integrity: str = ""


@dataclass
class Page:
    """url: at which it was answered."""

    url: str
    tags: list[Tag]
    policies: list[Policy]


def findings(url: str) -> Findings:
    """Raises SetupError where it is no address of a page."""
    said = fetch(_address(url), AGENT)
    if not said.status:
        yield Finding(WRONG, url, f"cannot be reached from here ({said.body.decode(errors='replace')})")
        return
    if said.status != 200:
        yield Finding(WRONG, url, f"answers {said.status}, and no page")
        return
    page = page_of(said)
    if not page.tags:
        yield Finding(WRONG, page.url, f"has no tracker: put this into the head of each page: {HOW}")
        return
    yield Finding(FINE, page.url, "has the tracker")
    if len({(tag.account, tag.site) for tag in page.tags}) < len(page.tags):
        yield Finding(ADVICE, page.url, "has the tracker twice for one account: it counts once, so leave one out")
    for tag in dict.fromkeys(page.tags):
        yield from _about_script(page, tag)
        yield from _about_policy(page, tag)
        yield from _about_account(page, tag)


def page_of(said: Fetched) -> Page:
    reader = _Reader(said.url)
    reader.feed(said.body.decode(said.headers.get_content_charset("utf-8"), "replace"))
    reader.close()
    headers = said.headers.get_all("Content-Security-Policy", [])
    return Page(said.url, reader.tags, [*policies_of(headers), *policies_of(reader.policies)])


class _Reader(HTMLParser):
    """Finds what loads the tracker, and policies, in a page."""

    def __init__(self, url: str):
        super().__init__()
        self.base, self.tags, self.policies = url, list[Tag](), list[str]()
        self._script: dict[str, str] | None = None
        self._text = ""

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attributes}
        if name == "base" and given.get("href"):
            self.base = urljoin(self.base, given["href"])
        elif name == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            self.policies.append(given.get("content", ""))
        elif name == "script":
            self._script, self._text = given, ""

    def handle_data(self, text: str) -> None:
        self._text += text

    def handle_endtag(self, name: str) -> None:
        if name == "script" and self._script is not None:
            if tag := self._tag_of(self._script, self._text):
                self.tags.append(tag)
            self._script = None

    def _tag_of(self, given: dict[str, str], text: str) -> Tag | None:
        nonce = given.get("nonce", "")
        if "src" in given:
            script = urljoin(self.base, given["src"])
            if not ("data-account" in given or SCRIPT.search(urlsplit(script).path)):
                return None
            server = given.get("data-server-url") or _origin_of(script)
            account, site = given.get("data-account", ""), given.get("data-site", "")
            return Tag(script, server, account, site, "", nonce, given.get("integrity", ""))
        if not LOADER.search(text):
            return None
        options = {name: _option(name, text) for name in ("account", "site", "serverUrl")}
        server = urljoin(self.base, options["serverUrl"]).rstrip("/")
        return Tag(f"{server}/js/trackr.js", server, options["account"], options["site"], text, nonce)


def _option(name: str, text: str) -> str:
    found = re.search(OPTION % name, text)
    return found[1] if found else ""


def _about_script(page: Page, tag: Tag) -> Findings:
    if urlsplit(page.url).scheme == "https" and urlsplit(tag.script).scheme == "http":
        yield Finding(WRONG, tag.script, "is loaded by http into a page of https, so browsers block it: write https")
        return
    said = fetch(tag.script, AGENT)
    if not said.status:
        yield Finding(WRONG, tag.script, f"cannot be reached from here ({said.body.decode(errors='replace')})")
    elif said.status != 200 or b"Trackr" not in said.body:
        yield Finding(WRONG, tag.script, f"answers {said.status} and is not the tracker: write the address of Hail")
    elif tag.integrity and not _is_whole(tag.integrity, said.body):
        yield Finding(WRONG, tag.script, "has other bytes than its `integrity` says, so browsers run it not")
    else:
        yield Finding(FINE, tag.script, "is the tracker")


def _is_whole(integrity: str, body: bytes) -> bool:
    named = {name: base64.b64encode(hashlib.new(name, body).digest()).decode() for name in HASHES}
    return any(each in (f"{name}-{digest}" for name, digest in named.items()) for each in integrity.split())


def _about_policy(page: Page, tag: Tag) -> Findings:
    if not page.policies:
        return
    lacks = []
    if tag.text and not lets_run(page.policies, tag.text, tag.nonce):
        lacks.append("forbids the script in the page: use the tag with src, or give it a nonce")
    if not lets_load(page.policies, page.url, tag.script, tag.nonce):
        lacks.append(f"forbids the script: add {_origin_of(tag.script)} to script-src")
    if not lets_send(page.policies, page.url, f"{tag.server}/track"):
        lacks.append(f"forbids to send: add {_origin_of(tag.server)} to connect-src")
    for text in lacks:
        yield Finding(WRONG, "Content-Security-Policy", text)
    if not lacks:
        yield Finding(FINE, "Content-Security-Policy", "lets the tracker run and send")


def _about_account(page: Page, tag: Tag) -> Findings:
    """What Hail says of a hit of the page that it cannot count."""
    named = {"account": tag.account, "site": tag.site}
    body = {name: value for name, value in named.items() if value} | {"hits": [NO_HIT | {"url": page.url}]}
    about = ", ".join(f"{name} {value!a}" for name, value in named.items() if value) or "the page"
    headers = {"Origin": _origin_of(page.url), "Content-Type": "text/plain"}
    for pause_s in (*PAUSES_S, 0):  # a Hail that has heard of it lately says so at once, and else in some seconds
        said = fetch(f"{tag.server}/track", AGENT, headers, msgspec.json.encode(body))
        code = _code_of(said)
        if code != Reason.NO_DIRECTORY:
            break
        time.sleep(pause_s)
    if not said.status:
        yield Finding(
            WRONG, f"{tag.server}/track", f"cannot be reached from here ({said.body.decode(errors='replace')})"
        )
        return
    if code == Reason.BAD_TIME:
        yield Finding(FINE, about, f"takes hits of {_origin_of(page.url)}")
    elif code == Reason.FOREIGN_ORIGIN:
        change = f"hailwhale site change SITE --open --origin {_origin_of(page.url)}"
        yield Finding(WRONG, about, f"the site is closed, or does not list {_origin_of(page.url)}: `{change}`")
    else:
        yield Finding(WRONG, about, ADVISED.get(code, f"Hail answers {said.status} {code}".rstrip()))


def _code_of(said: Fetched) -> str:
    try:
        found = msgspec.json.decode(said.body)
    except (msgspec.DecodeError, UnicodeError):
        return ""
    return str(found.get("code", "")) if isinstance(found, dict) else ""


def _address(url: str) -> str:
    address = url if "://" in url else f"https://{url}"
    try:
        parts = urlsplit(address)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        fits = False
    if not fits:
        raise SetupError(f"expected the address of a page, such as https://shop.example/, got {ascii(url)[:100]}")
    return address


def _origin_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


@click.command("check", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url")
def main(url: str) -> None:
    """Fetch a page, and say what the tracker lacks there; exit 1 if something is wrong. It counts nothing.

    URL: of the page, such as https://shop.example/.
    """
    console, wrong = Console(), 0
    styles = {FINE: "green", ADVICE: "yellow", WRONG: "bold red"}
    for finding in findings(url):
        wrong += finding.state == WRONG
        console.print(f"{finding.state:5}", style=styles[finding.state], end=" ")
        console.print(f"{finding.about}: {finding.text}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{wrong} wrong" if wrong else "the page is counted")
    sys.exit(1 if wrong else 0)
