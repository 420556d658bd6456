"""Small files in MaxMind's format: networks of IPv4, and what is said of them. https://maxmind.github.io/MaxMind-DB/"""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

MARK = b"\xab\xcd\xefMaxMind.com"
MAP, TEXT, UINT16, UINT32, UINT64, LIST = 7, 2, 5, 6, 9, 11
SEPARATOR = bytes(16)


def file_of(rows: Mapping[str, Any]) -> bytes:
    nodes: list[list[Any]] = [[None, None]]
    data = b""
    for text, row in rows.items():
        network, place = ip_network(text), 0
        bits = f"{int(network.network_address):032b}"[: network.prefixlen]
        for bit in bits[:-1]:
            if nodes[place][int(bit)] is None:
                nodes.append([None, None])
                nodes[place][int(bit)] = len(nodes) - 1
            place = nodes[place][int(bit)]
        nodes[place][int(bits[-1])] = ("data", len(data))
        data += encoded(row)
    tree = b"".join(_record(each, len(nodes)) for node in nodes for each in node)
    about = {
        "node_count": (UINT32, len(nodes)),
        "record_size": (UINT16, 24),
        "ip_version": (UINT16, 4),
        "database_type": "Test",
        "languages": ["en"],
        "binary_format_major_version": (UINT16, 2),
        "binary_format_minor_version": (UINT16, 0),
        "build_epoch": (UINT64, 1),
        "description": {"en": "a test"},
    }
    return tree + SEPARATOR + data + MARK + encoded(about)


def _record(value: Any, count: int) -> bytes:
    number = count if value is None else count + 16 + value[1] if isinstance(value, tuple) else value
    return int(number).to_bytes(3, "big")


def encoded(value: Any) -> bytes:
    match value:
        case dict():
            return _head(MAP, len(value)) + b"".join(encoded(k) + encoded(v) for k, v in value.items())
        case list():
            return _head(LIST, len(value)) + b"".join(map(encoded, value))
        case (kind, number):
            body = number.to_bytes((number.bit_length() + 7) // 8, "big")
            return _head(kind, len(body)) + body
        case _:
            body = value.encode()
            return _head(TEXT, len(body)) + body


def _head(kind: int, size: int) -> bytes:
    assert size < 29
    return bytes([size, kind - 7]) if kind > 7 else bytes([kind << 5 | size])
