"""Who may: keys by Bearer, by Basic password, or as `key=`; shared by Hail and Whale.

No key set: all is open, which `check_bind` allows on loopback only. As soon as one is set, each door wants its own key
or the admin key; a door whose key is not set then opens to the admin key alone.
"""

import base64
import binascii
import hmac
import ipaddress

from hail.settings import PREFIX, Settings, SettingsError

KEYS = ("WRITE_KEY", "READ_KEY", "ADMIN_KEY")


def check_bind(bind: str, settings: Settings) -> None:
    """Raises SettingsError when a service would listen beyond this machine without all three keys."""
    missing = [PREFIX + name for name in KEYS if not getattr(settings, name.lower())]
    if missing and not _is_loopback(bind):
        raise SettingsError(
            f"{bind} can be reached from other machines: set {', '.join(missing)}, or listen on 127.0.0.1"
        )


def _is_loopback(bind: str) -> bool:
    host = bind.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def given_key(authorization: str, parameter: str | None) -> bytes:
    """The key that came with a request: the `Authorization` header (as WSGI gives it, latin-1), else `key=`."""
    scheme, _, value = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip().encode("latin-1", "replace")
        case "basic":
            try:
                return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return b""
    return (parameter or "").encode("utf-8", "replace")


def allowed(settings: Settings, key: bytes, *doors: str) -> bool:
    """Does the key open one of these doors (`write`, `read`)? The admin key opens all, and so does having no keys."""
    if not any(getattr(settings, name.lower()) for name in KEYS):
        return True
    opens = False
    for door in (*doors, "admin"):
        expected = getattr(settings, f"{door}_key").encode()
        opens |= bool(expected) and hmac.compare_digest(expected, key)
    return opens
