"""What a Content-Security-Policy allows, row by row as the standard says it."""

import pytest

from whale.commands.policy import lets_load, lets_run, lets_send, policies_of

PAGE, SCRIPT, LOADER = "https://shop.example/a", "https://counts.example/js/trackr.js", "new Trackr(o)"
HASH = "'sha256-nHPmmQmZn0QFYhrh2LZI8etGZv4Yx+cu2o8xfyp1jeg='"


@pytest.mark.parametrize(
    ("policy", "fits"),
    [
        ("", True),
        ("img-src 'none'", True),
        ("default-src 'self'", False),
        ("default-src 'self'; script-src https://counts.example", True),
        ("SCRIPT-SRC counts.example", True),
        ("script-src counts.example:443", True),
        ("script-src counts.example:8085", False),
        ("script-src counts.example:*", True),
        ("script-src http://counts.example", True),
        ("script-src *.example", True),
        ("script-src *.counts.example", False),
        ("script-src *", True),
        ("script-src https:", True),
        ("script-src http:", True),
        ("script-src data:", False),
        ("script-src 'none'", False),
        ("script-src https://counts.example/js/", True),
        ("script-src https://counts.example/js", False),
        ("script-src https://counts.example/js/trackr.js", True),
        ("script-src https://counts.example/other.js", False),
        ("script-src 'nonce-abc'", True),
        ("script-src 'nonce-other'", False),
        ("script-src https://counts.example 'strict-dynamic'", False),
        ("script-src-elem https://counts.example; script-src 'none'", True),
        ("script-src https://counts.example; script-src 'none'", True),
        ("script-src https://counts.example, default-src 'none'", False),
        ("script-src (;", False),
    ],
)
def test_where_a_script_may_come_from(policy: str, fits: bool) -> None:
    assert lets_load(policies_of([policy]), PAGE, SCRIPT, "abc") == fits


@pytest.mark.parametrize(
    ("policy", "fits"),
    [
        ("default-src 'self'", False),
        ("script-src 'unsafe-inline'", True),
        ("script-src 'unsafe-inline' 'nonce-other'", False),
        ("script-src 'nonce-abc'", True),
        (f"script-src {HASH}", True),
        ("script-src 'sha256-AAAA'", False),
    ],
)
def test_what_may_stand_in_the_page(policy: str, fits: bool) -> None:
    assert lets_run(policies_of([policy]), LOADER, "abc") == fits


@pytest.mark.parametrize(
    ("policy", "fits"),
    [
        ("script-src 'none'", True),
        ("default-src 'self'", False),
        ("default-src 'none'; connect-src https://counts.example", True),
        ("connect-src 'self' wss:", False),
        ("connect-src 'self' https:", True),
    ],
)
def test_where_a_page_may_send(policy: str, fits: bool) -> None:
    assert lets_send(policies_of([policy]), PAGE, "https://counts.example/track") == fits


def test_the_page_itself() -> None:
    assert lets_load(policies_of(["script-src 'self'"]), PAGE, "https://shop.example/js/trackr.js")
    assert lets_load(policies_of(["script-src 'self'"]), "http://shop.example/", "https://shop.example/js/trackr.js")
    assert not lets_load(policies_of(["script-src 'self'"]), PAGE, "http://shop.example/js/trackr.js")
