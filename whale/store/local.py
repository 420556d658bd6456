"""The Redis and the secret that `hailwhale up` keeps on a data directory, as other processes find them; whale/commands/embedded.py
starts the one and makes the other."""

import socket
from pathlib import Path
from urllib.parse import quote

from hail.settings import Settings
from whale.errors import SetupError

SECRET_FILE, INTERNAL_FILE = "secret", "internal"
"""The secret that signs for people, and the one by which Hail asks Whale."""


def owner_of(folder: Path) -> str:
    """The name of the user that a folder, or the nearest above it that can be looked at, belongs to."""
    for path in (folder, *folder.absolute().parents):
        try:
            return path.owner()
        except OSError:
            continue
        except KeyError:
            return f"user {path.stat().st_uid}"
    return "another user"


def redis_url_of(data_dir: str | Path) -> str:
    """The URL of the embedded Redis that runs on a data directory, for other processes; SetupError when none does."""
    record = Path(data_dir).absolute() / "redis" / "socket"
    try:
        path = record.read_text()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
    except PermissionError:
        owner = owner_of(Path(data_dir))
        raise SetupError(
            f"the HailWhale on {record.parent.parent} belongs to {owner}: "
            f"run this as that user, such as `sudo -u {owner} …`, or set HAILWHALE_REDIS_URL"
        ) from None
    except OSError:
        raise SetupError(
            f"no HailWhale runs on {record.parent.parent}: start it with `hailwhale up`, "
            "or set HAILWHALE_DATA_DIR or HAILWHALE_REDIS_URL to a running one"
        ) from None
    return f"unix://{quote(path)}"


def is_own(settings: Settings) -> bool:
    """Whether the Redis that is set is the one that runs on the data directory."""
    record = Path(settings.data_dir).absolute() / "redis" / "socket"
    try:
        return str(settings.redis_url) == f"unix://{quote(record.read_text())}"
    except (OSError, UnicodeDecodeError):
        return False


def secret_of(data_dir: str | Path, name: str = SECRET_FILE) -> str:
    """A secret that is kept in a data directory; empty where there is none that this user may read."""
    try:
        return (Path(data_dir) / name).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
