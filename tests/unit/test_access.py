"""Who may: the settings that say whom a service believes."""

import ipaddress

import pytest

from hail.settings import SettingsError, load


def test_trusted_proxies_are_networks() -> None:
    assert load({}).trusted_proxies == ()
    given = load({"HAILWHALE_TRUSTED_PROXIES": "10.0.0.0/8, 192.168.1.7  ::1/128,"}).trusted_proxies
    assert given == tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "192.168.1.7/32", "::1/128")))


def test_allowed_origins_are_as_a_browser_writes_them() -> None:
    assert load({}).allowed_origins == ()
    assert load({"HAILWHALE_ALLOWED_ORIGINS": "*"}).allowed_origins == ("*",)
    text = "https://Shop.Example, http://localhost:3000 http://[::1]:80"
    expected = ("https://shop.example", "http://localhost:3000", "http://[::1]")
    assert load({"HAILWHALE_ALLOWED_ORIGINS": text}).allowed_origins == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TRUSTED_PROXIES", "nginx"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "*"),
        ("ALLOWED_ORIGINS", "shop.example"),
        ("ALLOWED_ORIGINS", "https://shop.example/"),
        ("ALLOWED_ORIGINS", "https://shop.example/page"),
        ("ALLOWED_ORIGINS", "https://*.shop.example"),
        ("ALLOWED_ORIGINS", "https://me@shop.example"),
        ("ALLOWED_ORIGINS", "https://shop.example:0x50"),
        ("ALLOWED_ORIGINS", "https://shop.example:99999"),
        ("ALLOWED_ORIGINS", "null"),
        ("ALLOWED_ORIGINS", "* https://shop.example"),
    ],
)
def test_a_list_that_cannot_be_used_stops_the_start(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"HAILWHALE_{name}: expected"):
        load({f"HAILWHALE_{name}": text})
