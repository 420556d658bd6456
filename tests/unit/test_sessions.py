"""Sessions: a signed cookie, that ends by time and with the password, and works for the own pages alone."""

from ipaddress import ip_network
from typing import Any

import pytest

from hail.cookies import scheme_of, token_in
from hail.secret import secrets_of, signing_keys
from hail.settings import Settings, SettingsError, load
from whale.sessions import (
    BROWSER_S,
    MOST_TOKEN,
    SESSION_S,
    Session,
    cleared,
    cookie_name,
    cookie_of,
    from_own_page,
    mark_of,
    session_of,
    token_of,
)
from whale.share import Share, share_of
from whale.share import token_of as share_token

NEW, OLD, OTHER = "n" * 32, "o" * 32, "x" * 32
NOW = 1_795_000_000.0
HASH, CHANGED = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$one", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$two"
PROXIES = (ip_network("10.0.0.0/8"),)


def with_secret(*secrets: str) -> Settings:
    return load({"HAILWHALE_SECRET": ",".join(secrets)})


def made(settings: Settings, now: float = NOW) -> str:
    return token_of(Session("abcdefghij", "anna", int(now), mark_of(HASH)), settings)


def test_a_session_comes_back_as_it_was_made() -> None:
    settings = with_secret(NEW)
    assert session_of(made(settings), settings) == Session("abcdefghij", "anna", int(NOW), mark_of(HASH))


def test_names_of_any_letters_come_back() -> None:
    settings = with_secret(NEW)
    session = Session("default", "ä🔑\0:/;,\"' ", int(NOW), mark_of(HASH))
    token = token_of(session, settings)
    assert session_of(token, settings) == session
    assert token_in(f"a=b; {cookie_of('n', token, 'https').partition(';')[0]}; c=d", "n") == token


def test_a_session_holds_for_fourteen_days_and_one_password() -> None:
    session = Session("abcdefghij", "anna", int(NOW), mark_of(HASH))
    assert SESSION_S == 14 * 24 * 3600
    assert [session.holds(HASH, NOW + later) for later in (0, SESSION_S - 1, SESSION_S)] == [True, True, False]
    assert not session.holds(CHANGED, NOW)
    assert not session.holds(None, NOW)


def test_a_session_from_a_clock_that_is_ahead_holds_within_a_minute() -> None:
    session = Session("abcdefghij", "anna", int(NOW), mark_of(HASH))
    assert session.holds(HASH, NOW - 60)
    assert not session.holds(HASH, NOW - 61)


def test_the_mark_of_a_password_shows_nothing_of_its_hash() -> None:
    assert mark_of(HASH) != mark_of(CHANGED)
    assert len(mark_of(HASH)) == 32
    assert not set(HASH.split("$")) & {mark_of(HASH)}


@pytest.mark.parametrize("secrets", [(OTHER,), (OTHER, NEW[:-1] + "m"), ()])
def test_a_session_of_another_secret_is_none(secrets: tuple[str, ...]) -> None:
    assert session_of(made(with_secret(NEW)), with_secret(*secrets)) is None


def test_a_secret_is_changed_without_ending_sessions() -> None:
    before, during, after = with_secret(OLD), with_secret(NEW, OLD), with_secret(NEW)
    assert session_of(made(before), during)
    assert session_of(made(during), after)
    assert session_of(made(before), after) is None
    assert session_of(made(during), before) is None


def test_a_secret_is_changed_without_ending_shares() -> None:
    share = Share(("shop",), ((),), ("hits",), "today", int(NOW))
    before, during, after = with_secret(OLD), with_secret(NEW, OLD), with_secret(NEW)
    assert share_of(share_token(share, before, "default"), during, "default") == ("default", share)
    assert share_of(share_token(share, during, "default"), after, "default") == ("default", share)


def test_a_share_is_no_session_and_a_session_no_share() -> None:
    settings = with_secret(NEW)
    share = share_token(Share(("shop",), ((),), ("hits",), "today", int(NOW)), settings, "default")
    assert session_of(share, settings) is None


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_session_that_was_changed_is_none(cut: int) -> None:
    settings = with_secret(NEW)
    token = made(settings)
    other = "A" if token[cut] != "A" else "B"
    for changed in (token[:cut] + other + token[cut + 1 :], token[:cut], token[:cut] + "é" + token[cut:], token + "="):
        assert session_of(changed, settings) is None


@pytest.mark.parametrize("token", ["", ".", "..", "a.b", "x" * 100_000, "\ud800", "e30.e30", "\0"])
def test_nonsense_is_no_session(token: str) -> None:
    assert session_of(token, with_secret(NEW)) is None


def test_without_a_secret_there_are_no_sessions() -> None:
    with pytest.raises(SettingsError, match="no secret is set for sessions: set HAILWHALE_SECRET to"):
        made(load({}))
    assert session_of(made(with_secret(NEW)), load({})) is None


def test_the_longest_names_fit() -> None:
    settings = with_secret(NEW)
    assert len(token_of(Session("abcdefghij", "🔑" * 64, int(NOW), mark_of(HASH)), settings)) <= MOST_TOKEN


@pytest.mark.parametrize(
    ("host", "scheme", "name"),
    [
        ("127.0.0.1:8086", "http", "hailwhale-8086"),
        ("localhost", "http", "hailwhale-80"),
        ("[::1]:8086", "http", "hailwhale-8086"),
        ("[::1]", "http", "hailwhale-80"),
        ("count.example", "https", "__Host-hailwhale-443"),
        ("count.example:8443", "https", "__Host-hailwhale-8443"),
        ("count.example:", "https", "__Host-hailwhale-443"),
        ("", "http", "hailwhale-80"),
        ("a:1; b=c", "http", "hailwhale-80"),
        ("a:" + "1" * 4000, "http", "hailwhale-80"),
    ],
)
def test_the_name_of_the_cookie_has_the_port(host: str, scheme: str, name: str) -> None:
    assert cookie_name(host, scheme) == name


def test_a_cookie_is_for_this_service_alone_and_for_no_script() -> None:
    assert cookie_of("hailwhale-8086", "token", "http") == (
        "hailwhale-8086=token; Max-Age=7776000; Path=/; HttpOnly; SameSite=Lax"
    )
    assert cookie_of("__Host-hailwhale-443", "token", "https") == (
        "__Host-hailwhale-443=token; Max-Age=7776000; Path=/; HttpOnly; SameSite=Lax; Secure"
    )
    assert cleared("hailwhale-8086", "http") == "hailwhale-8086=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"
    assert BROWSER_S == 7_776_000 == 90 * 24 * 3600


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("hailwhale-8086=abc", "abc"),
        ("a=b; hailwhale-8086=abc; c=d", "abc"),
        ("a=b;hailwhale-8086=abc", "abc"),
        ("hailwhale-80861=x; xhailwhale-8086=y; hailwhale-8086=abc", "abc"),
        ("hailwhale-8086=abc; hailwhale-8086=def", "abc"),
        ('hailwhale-8086="abc"', '"abc"'),
        ("hailwhale-8087=abc", ""),
        ("hailwhale-8086", ""),
        ("hailwhale-8086=", ""),
        ("", ""),
        (";" * 8000, ""),
    ],
)
def test_the_token_is_found_among_cookies(header: str, token: str) -> None:
    assert token_in(header, "hailwhale-8086") == token


@pytest.mark.parametrize(
    ("environ", "scheme"),
    [
        ({"wsgi.url_scheme": "http"}, "http"),
        ({"wsgi.url_scheme": "https"}, "https"),
        ({"wsgi.url_scheme": "http", "HTTP_X_FORWARDED_PROTO": "https", "REMOTE_ADDR": "10.0.0.1"}, "https"),
        ({"wsgi.url_scheme": "http", "HTTP_X_FORWARDED_PROTO": "https", "REMOTE_ADDR": "192.0.2.1"}, "http"),
        ({"wsgi.url_scheme": "http", "HTTP_X_FORWARDED_PROTO": "ftp", "REMOTE_ADDR": "10.0.0.1"}, "http"),
        ({"wsgi.url_scheme": "https", "HTTP_X_FORWARDED_PROTO": "http", "REMOTE_ADDR": "10.0.0.1"}, "http"),
        ({}, "http"),
    ],
)
def test_the_scheme_is_what_a_trusted_proxy_was_asked_by(environ: dict[str, Any], scheme: str) -> None:
    assert scheme_of(environ, PROXIES) == scheme


@pytest.mark.parametrize(
    ("host", "scheme", "origin", "site", "own"),
    [
        ("127.0.0.1:8086", "http", "http://127.0.0.1:8086", None, True),
        ("Count.example", "https", "https://count.example", "same-origin", True),
        ("count.example:443", "https", "https://count.example", None, True),
        ("count.example", "http", "https://count.example", None, True),  # a proxy that nobody listed speaks TLS
        ("count.example", "https", "http://count.example", None, False),
        (
            "127.0.0.1:8086",
            "http",
            "http://127.0.0.1:3000",
            "same-site",
            False,
        ),  # the cookie comes along, and is of no use
        ("127.0.0.1:8086", "http", "http://localhost:8086", None, False),
        ("count.example", "https", "https://evil.example", "cross-site", False),
        ("count.example", "https", "https://count.example.evil.example", None, False),
        ("count.example", "https", "https://sub.count.example", "same-site", False),
        ("count.example", "https", "null", "cross-site", False),
        ("count.example", "https", "null", "same-origin", False),
        ("count.example", "https", "", "same-origin", False),
        ("count.example", "https", None, "same-origin", True),
        ("count.example", "https", None, "same-site", False),
        ("count.example", "https", None, "cross-site", False),
        ("count.example", "https", None, "none", False),
        ("count.example", "https", None, None, False),
        ("", "https", "https://", None, False),
        ("", "http", None, None, False),
    ],
)
def test_a_cookie_works_for_own_pages_alone(
    host: str, scheme: str, origin: str | None, site: str | None, own: bool
) -> None:
    environ = {"HTTP_HOST": host}
    environ |= {} if origin is None else {"HTTP_ORIGIN": origin}
    environ |= {} if site is None else {"HTTP_SEC_FETCH_SITE": site}
    assert from_own_page(environ, scheme) is own


def test_a_secret_may_be_two_of_which_the_first_signs() -> None:
    settings = with_secret(NEW, f" {OLD} ")
    assert signing_keys(settings) == [OLD, NEW]
    assert secrets_of(settings) == (NEW, OLD)
    assert signing_keys(load({})) == []


@pytest.mark.parametrize("text", [f"{NEW},", f"{NEW},{OLD[:31]}", f",{NEW}", ",", "n" * 31, f"{NEW},,{OLD}"])
def test_each_secret_is_long(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^HAILWHALE_SECRET: expected at least 32 random characters"):
        load({"HAILWHALE_SECRET": text})


def test_there_are_at_most_four_secrets() -> None:
    assert len(signing_keys(with_secret(NEW, OLD, OTHER, "y" * 32))) == 4
    with pytest.raises(SettingsError, match=r"^HAILWHALE_SECRET: expected at most 4 secrets, got 5$"):
        with_secret(NEW, OLD, OTHER, "y" * 32, "z" * 32)
