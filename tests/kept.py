"""All that Redis holds, as it is read: for tests that search it."""

from typing import Any

SHARED = b"hailwhale:"
"""How keys of the program begin: the directory, and the names of messages."""


def kept(client: Any) -> dict[bytes, bytes]:
    """All keys, with all that they hold; of a key that ends meanwhile, nothing."""
    return {key: _read(client, key) for key in client.scan_iter("*")}


def _read(client: Any, key: bytes) -> bytes:
    match client.type(key):
        case b"hash":
            return repr(client.hgetall(key)).encode()
        case b"list":
            return repr(client.lrange(key, 0, -1)).encode()
        case b"set":
            return repr(client.smembers(key)).encode()
        case b"zset":
            return repr(client.zrange(key, 0, -1, withscores=True)).encode()
    return repr(client.get(key)).encode()
