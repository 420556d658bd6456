"""What a request tells of whoever sent it: browsers, sources, addresses, countries."""

import ipaddress
import os
from pathlib import Path
from typing import Any

import pytest

from hail.settings import SettingsError
from hail.tracking.agents import Agents
from hail.tracking.places import Places, address_of, bytes_of, client_of
from hail.tracking.sources import Source, parameters_of, referrers, source_of
from hail.tracking.sources import address_of as page_of
from tests.mmdb import file_of

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
AGENTS = [
    (f"{WINDOWS} Chrome/128.0.0.0 Safari/537.36", ("Chrome", "128", "Windows", "desktop", "")),
    (f"{WINDOWS} Chrome/128.0.0.0 Safari/537.36 Edg/128.0.0.0", ("Edge", "128", "Windows", "desktop", "")),
    (f"{WINDOWS} HeadlessChrome/128.0.0.0 Safari/537.36", ("HeadlessChrome", "128", "Windows", "desktop", "headless")),
    (
        "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0 Mobile/15E148 Safari/604.1",
        ("Chrome", "126", "iOS", "tablet", ""),
    ),
    (
        "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/121.0.0.0 Safari/537.36",
        ("Chrome", "121", "Android", "tablet", ""),
    ),
    (
        "Mozilla/5.0 (Linux; Android 8.0.0; CUBOT X18) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/106.0.0.0 Mobile Safari/537.36",
        ("Chrome", "106", "Android", "phone", ""),
    ),
    (
        "Opera/9.80 (Android; Opera Mini/36.2/119.132; U; id) Presto/2.12.423 Version/12.16",
        ("Opera Mini", "36", "Android", "phone", ""),
    ),
    (
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ("Firefox", "128", "Linux", "desktop", ""),
    ),
    (
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        ("GPTBot", "1", "", "desktop", "crawler"),
    ),
    ("Wget/1.21", ("Wget", "1", "", "desktop", "program")),
    ("", ("", "", "", "desktop", "empty")),
]


@pytest.mark.parametrize(("text", "expected"), AGENTS)
def test_an_agent_is_a_browser_on_a_platform_or_a_program(text: str, expected: tuple[str, ...]) -> None:
    assert Agents(1e6).agent_of(text) == expected


def test_agents_are_remembered_within_their_bytes() -> None:
    agents = Agents(20_000)
    for number in range(200):
        agents.agent_of(f"{WINDOWS} Chrome/{number}.0 Safari/537.36")
    assert 5 < len(agents._known) < 20
    assert agents._known.held <= 20_000
    assert agents.agent_of("Mozilla/5.0 (" + "x" * 100_000) == agents.agent_of("Mozilla/5.0 (" + "x" * 600)


SOURCES = [
    ("", "https://google.de/", Source("google", "search")),
    ("", "https://mail.google.com/mail", Source("gmail", "mail")),
    ("", "https://de.pinterest.com/pin", Source("pinterest", "social")),
    ("", "https://t.co/x", Source("x", "social")),
    ("", "https://chatgpt.com/", Source("chatgpt", "ai")),
    ("", "https://semalt.com/", Source("semalt.com", "spam")),
    ("", "android-app://com.google.android.gm/", Source("gmail", "mail")),
    ("", "https://google.evil.example.com/", Source("google.evil.example.com", "referral")),
    ("", "https://evilgoogle.com/", Source("evilgoogle.com", "referral")),
    ("", "https://www.shop.example/a", None),
    ("", "javascript:alert(1)", Source("direct", "direct")),
    ("", "https://[::1", Source("direct", "direct")),
    ("?utm_campaign=spring", "https://example.org/", Source("example.org", "campaign", "spring")),
    ("?utm_campaign=spring", "", Source("direct", "campaign", "spring")),
    ("?utm_source=Google&utm_medium=CPC", "", Source("google", "paid", "", "cpc")),
    ("?utm_source=google", "", Source("google", "search")),
    ("?gclid=a", "https://google.com/", Source("google", "paid", "", "cpc")),
    ("?utm_source=%ff&utm_content=a%20b&utm_term=c", "", Source("\ufffd", "campaign", "", "", "a b", "c")),
]


@pytest.mark.parametrize(("query", "before", "expected"), SOURCES)
def test_a_visit_came_from_a_source(query: str, before: str, expected: Source | None) -> None:
    assert source_of(page_of(f"https://shop.example/{query}"), page_of(before)) == expected


def test_the_table_of_referrers_is_sound() -> None:
    assert len(referrers()) > 300
    channels = {channel for _, channel in referrers().values()}
    assert channels == {"search", "ai", "social", "message", "mail", "video", "spam"}
    assert all(host == host.lower() and name == name.lower() for host, (name, _) in referrers().items())


def test_no_more_than_a_hundred_parameters_are_looked_at() -> None:
    assert len(parameters_of("&".join(f"p{number}=1" for number in range(10_000)))) == 100


PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "127.0.0.1/32")))
CLIENTS: list[tuple[dict[str, str], str | None]] = [
    ({"REMOTE_ADDR": "192.0.2.7"}, "192.0.2.7"),
    ({"REMOTE_ADDR": "192.0.2.7", "HTTP_X_FORWARDED_FOR": "198.51.100.1"}, None),
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "198.51.100.1"}, "198.51.100.1"),
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"),
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "198.51.100.1, nonsense"}, None),
    ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "10.0.0.3"}, None),
    (
        {"REMOTE_ADDR": "10.0.0.1", "HTTP_FORWARDED": 'for=203.0.113.9;proto=https, for="[2001:db8::1]:4711"'},
        "2001:db8::1",
    ),
    ({"REMOTE_ADDR": "10.0.0.1"}, None),
    ({"REMOTE_ADDR": "::ffff:192.0.2.7"}, "192.0.2.7"),
    ({"REMOTE_ADDR": ""}, None),
]


@pytest.mark.parametrize(("environ", "expected"), CLIENTS)
def test_a_client_is_the_first_from_the_right_that_is_no_trusted_proxy(
    environ: dict[str, str], expected: str | None
) -> None:
    found = client_of(environ, PROXIES)
    assert (None if found is None else str(found)) == expected


def test_addresses_of_one_household_are_alike() -> None:
    one, other, third = (address_of(text) for text in ("2001:db8::1", "[2001:db8::2]:80", "192.0.2.7:80"))
    assert one is not None
    assert other is not None
    assert third is not None
    assert bytes_of(one) == bytes_of(other)
    assert bytes_of(third) == bytes((192, 0, 2, 7))


COUNTRIES: dict[str, Any] = {
    "192.0.2.0/24": {"country": {"iso_code": "DE"}},
    "198.51.100.0/24": {"country_code": "at"},
    "203.0.113.0/24": {"city": "nowhere"},
}


def test_a_country_is_that_of_the_file_and_nobodys_without_one(tmp_path: Path) -> None:
    path = tmp_path / "countries.mmdb"
    path.write_bytes(file_of(COUNTRIES))
    places = Places(str(path))
    found = [
        places.country_of(address_of(text), 0)
        for text in ("192.0.2.7", "198.51.100.9", "203.0.113.1", "8.8.8.8", "::1")
    ]
    assert found == ["DE", "AT", "", "", ""]
    assert Places("").country_of(address_of("192.0.2.7"), 0) == places.country_of(None, 0) == ""


def test_another_file_is_read_a_minute_later_and_a_broken_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "countries.mmdb"
    path.write_bytes(file_of(COUNTRIES))
    places, address = Places(str(path)), address_of("192.0.2.7")
    assert places.country_of(address, 1000) == "DE"
    (tmp_path / "new").write_bytes(file_of({"192.0.2.0/24": {"country": {"iso_code": "FR"}}}))
    os.replace(tmp_path / "new", path)
    assert [places.country_of(address, now) for now in (1059, 1061)] == ["DE", "FR"]
    (tmp_path / "new").write_bytes(b"nonsense")
    os.replace(tmp_path / "new", path)
    assert places.country_of(address, 1200) == "FR"


@pytest.mark.parametrize("content", [None, b"", b"nonsense" * 1000])
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "countries.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="HAILWHALE_COUNTRY_FILE: expected a file in MaxMind's format"):
        Places(str(path))
