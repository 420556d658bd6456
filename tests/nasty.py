"""Bodies of hits that mean no good, as text: what no json.dumps writes, too. Drawn at random.

A key may come twice, a letter as its escape, a number in any of its forms, between two tokens any white space.
"""

import json
from random import Random
from typing import Any

NOW = 1_795_300_800.25
SETTINGS = (
    {},
    {
        "KINDS": '{"m1": "max", "m2": "distinct"}',
        "BANDS": '{"a1": [1000, 100, 10], "price": [0.5]}',
        "VISITOR_LOG": "1",
    },
    {
        "MAX_NAME_BYTES": "3",
        "MAX_LEVELS": "2",
        "MAX_METRICS_PER_HIT": "2",
        "MAX_PATHS": "5",
        "MAX_CELLS_PER_HIT": "40",
        "VISITOR_LOG": "1",
    },
    {"MAX_NAME_BYTES": "30", "MAX_LEVELS": "1"},
    {"MAX_LEVELS": "30", "MAX_CELLS_PER_HIT": "100000", "PERIODS": "((60, 86400),)"},
)


def words(text: str) -> list[str]:
    return text.split()


NAMES = (
    *words(
        "a b country price _ [ 😀 hits __other__ __moments__ __decided__ 1 5.5 is_unique },{ max unique pk at null NaN"
    ),
    *("", " ", "\0", "\x7f", "a\nb", '"', "\\", "\\u0061", "}\n{", "x" * 200, "x" * 201, "x" * 257),
    *("é" * 50, "é" * 100, "é" * 101, "日" * 51, "😀" * 50, "😀" * 51),
)
NUMBERS = (
    *words(
        "0 -0 -0.0 1 -1 0.5 1.25 0.1 0.2 0.30000000000000004 1e-7 5e-7 1.5e-6 2.5e-6 0.0000015 0.0000025 1E+2 1e2 12e-1"
    ),
    *words(
        "9e9 -9e9 9.1e9 9000000000 9000000001 1e300 1e308 1e309 8999999999.123457 123456789.123456 1234567890.123456"
    ),
    *words(
        "562949953.4213125 562949953.421312 562949953 562949954.5 0.1234565 0.12345650000000001 1.0000005 100.0000005"
    ),
    *words("9007199254740992 9007199254740993 18446744073709551615 18446744073709551616 1e22 4503599627.370497 5e-324"),
    *words("999999999.9999995 1.7976931348623157e308"),
    *("1" * 30, "1" * 400, "1" * 5000, "0." + "1" * 60),
)
BROKEN = words("NaN Infinity -Infinity 01 1. .5 +1 0x10 1e --1 1e400 nul")
TIMES = (
    *words("20261122 2026 202611 0 1 99999999 100000000 100000000.5 99999999999 100000000000 1e9 1.7953007e9 -5 1e20"),
    *words(
        "1795300800 1795300800.25 1795300800.249 1795300800.2499999 1795300801 1795300700.123456 1795300700.1234567"
    ),
    *words("1795300700.001 1795300700.0005 1795300700.0009999 1795300800250 1795300700123 1795300700123.5"),
    *words("1795300700123456 -3000000000 1826836801 111111111111111111111111111111 null true"),
    *words('"2026-11-22T10:00:00Z" "2026-11-22T10:00:00" "2026-11-22T10:00:00.123456789Z" "2026-11-22" "x"'),
    *words('"2026-11-22T10:00+05:30" "2026-11-22T10:00:00.0005-11:59:59.5" "1969-12-31T23:59:59.9999Z" "1795300700"'),
    *words('"2026-W47-7T10:00:00" "0001-01-01T00:00+23:00" "9999-12-31T23:59:59-23:59" "2026-11-22T24:00:00Z"'),
    *words('"2026-11-22T1٠:00:00Z" "1900-01-01T00:00:00Z" "2026-11-21T16:00:00.250Z" "1e9" "1234-5e-1T"'),
    *('"2026-11-22 10:00:00"', '" 2026-11-22T10:00:00Z"', '"2026-11-22T10:00:00Z "', '"123e-5    T        "'),
    *('"Wed Jun 17 14:35:20 2015"', f'"2026-11-22T10:00:00.{"1" * 60}"'),
)
SPACES = ("", "", "", "", " ", "  ", "\t", "\r", "\r\n", "\n")
ODD = (*SPACES, "\x0b", "\x0c", "\0", "\u00a0", "\ufeff", "#")
ESCAPES = (
    "\\ud800",
    "\\ud83d\\ude00",
    "\\uD83D\\u0041",
    "\\udc00",
    "\\u00e9",
    "\\u0000",
    "\\/",
    "\\x",
    "\\u12",
    "\x01",
)
FIELDS = ("id", "visitor", "event")


class Raw(str):
    """JSON as it stands."""


class Writer:
    """JSON of dicts, lists of pairs as objects with repeated keys, and `Raw`."""

    def __init__(self, rng: Random, oddness: float):
        self.rng, self.oddness = rng, oddness
        self.ascii = rng.random() < 0.5
        self.spaced = rng.random() < 0.3

    def odd(self, less: float = 1) -> bool:
        return self.rng.random() < self.oddness * less

    def space(self) -> str:
        if self.odd(0.02):
            return self.rng.choice(ODD)
        return self.rng.choice(SPACES[:8] if self.spaced else SPACES[:4])

    def string(self, value: str) -> str:
        text = json.dumps(value, ensure_ascii=self.ascii)
        if self.odd(0.2) and value[:1].isalpha() and value.isascii():
            text = f'"\\u{ord(value[0]):04x}{text[2:]}'
        if self.odd(0.05):
            text = f'{text[:-1]}{self.rng.choice(ESCAPES)}"'
        return text

    def write(self, value: Any) -> str:
        gap = self.space
        match value:
            case Raw():
                return str(value)
            case str():
                return self.string(value)
            case dict():
                pairs = list(value.items())
                if pairs and self.odd(0.2):
                    pairs.insert(self.rng.randrange(len(pairs) + 1), (self.rng.choice(pairs)[0], anything(self.rng)))
                inner = ",".join(f"{gap()}{self.string(k)}{gap()}:{gap()}{self.write(v)}{gap()}" for k, v in pairs)
                return f"{{{inner or gap()}}}"
            case list():
                return f"[{','.join(f'{gap()}{self.write(item)}{gap()}' for item in value) or gap()}]"
        return json.dumps(value)


def name(rng: Random) -> Any:
    if rng.random() < 0.1:
        return Raw(rng.choice(NUMBERS)) if rng.random() < 0.3 else rng.choice((*NAMES, None, True))
    return rng.choice("abcdef") + str(rng.randrange(20))


def text(rng: Random) -> str:
    found = name(rng)
    return found if type(found) is str else "a1"


def anything(rng: Random) -> Any:
    return rng.choice((name(rng), number(rng), [], {}, [[]], value(rng, 6), Raw("1e400"), Raw('"\\ud800"')))


def properties(rng: Random) -> Any:
    values = (
        text(rng),
        number(rng),
        True,
        None,
        {"b": 1.0, "a": [2.5, Raw("1e3")]},
        [],
        Raw("1e400"),
        "x" * 1023,
        "é\0",
    )
    return {text(rng): rng.choice(values) for _ in range(rng.choice((0, 1, 3, 3, 33)))}


def value(rng: Random, depth: int = 1) -> Any:
    draw = rng.random()
    if draw < 0.65 or depth > 9:
        return name(rng)
    if draw < 0.78:
        return [name(rng) if rng.random() < 0.9 else [name(rng)] for _ in range(rng.randrange(4))]
    if draw < 0.98:
        return {text(rng): value(rng, depth + 1) for _ in range(rng.randrange(4))}
    deep: Any = name(rng)
    for _ in range(rng.randrange(5, 11)):
        deep = {text(rng): deep}
    return deep


def number(rng: Random) -> Any:
    if rng.random() < 0.1:
        return Raw(rng.choice(NUMBERS if rng.random() < 0.95 else BROKEN))
    half = f"{rng.randrange(10 ** rng.randrange(1, 6))}.{rng.randrange(10**6):06}5"
    return rng.choice(
        (
            rng.randrange(1000),
            rng.randrange(100_000) / 100,
            rng.random() * 10 ** rng.randrange(-6, 9),
            round(rng.random() * 1e9, 6),
            Raw(half),
            Raw(f"{rng.random() * 10 ** rng.randrange(-6, 9):.17g}"),
        )
    )


def amount(rng: Random) -> Any:
    if rng.random() < 0.9:
        return number(rng)
    return rng.choice(
        ("5", None, True, {"max": 5}, {"unique": "u"}, {"sum": 1}, {"max": 1, "min": 2}, "is_unique", [1])
    )


def metrics(rng: Random) -> Any:
    draw = rng.random()
    if draw < 0.1:
        return rng.choice((None, {}, [], "", "a", 5, ["hits"], [None]))
    if draw < 0.2:
        return [name(rng) for _ in range(rng.randrange(4))]
    most = 20 if rng.random() < 0.03 else 5
    names = (
        rng.choice(("revenue", "cost", "hits", f"m{rng.randrange(30)}", text(rng))) for _ in range(rng.randrange(most))
    )
    return {each: amount(rng) for each in names}


def time(rng: Random) -> Any:
    if rng.random() < 0.2:
        return Raw(rng.choice(TIMES))
    return rng.choice(
        (NOW - 10, NOW - rng.random() * 1e6, round(NOW - rng.random() * 1e6, 3), NOW + rng.random() * 20 - 10)
    )


def hit(rng: Random, oddness: float) -> Any:
    """A hit, or what is none."""

    def odd(less: float) -> bool:
        return rng.random() < oddness * less

    if odd(0.02):
        return rng.choice((5, "x", None, [1], [{"pk": "a"}], {"hits": 5}, Raw("{]"), Raw('{"pk":1}{"pk":2}'), Raw("")))
    found: dict[str, Any] = {}
    if not odd(0.05):
        pk = rng.choice(
            ("site", ["site", "s1"], ["product", rng.randrange(100)], [name(rng) for _ in range(rng.randrange(1, 4))])
        )
        found["pk"] = rng.choice((name(rng), [], {}, [["a"]], ["a"] * 9, None)) if odd(0.2) else pk
    if rng.random() < 0.9:
        tree = {text(rng): value(rng, 2) for _ in range(rng.randrange(5))}
        found["dimension" if rng.random() < 0.1 else "dimensions"] = value(rng) if odd(0.4) else tree
    if rng.random() < 0.8:
        usual = {"revenue": number(rng), "hits": rng.randrange(4)}
        found["metric" if rng.random() < 0.1 else "metrics"] = metrics(rng) if odd(0.6) else usual
    if rng.random() < 0.5:
        found["at"] = time(rng)
    acts = rng.random() < 0.2
    for field in FIELDS:
        if rng.random() < (0.6 if acts else 0.1):
            found[field] = name(rng)
    if rng.random() < (0.6 if acts else 0.05):
        found["properties"] = anything(rng) if odd(0.2) else properties(rng)
    if rng.random() < 0.05:
        found["basis"] = name(rng) if odd(0.2) else rng.choice(("daily", None))
    if odd(0.05):
        found[rng.choice(("unknown", "dim", "dimension", "metric", "dimensions", "metrics", "é"))] = anything(rng)
    return found


def body(rng: Random, count: int) -> tuple[bytes, str]:
    """A batch of so many, as list, envelope or lines, and its content type. Some are odd here and there, some in each hit."""
    oddness = rng.choice((0, 0, 0.02, 0.2, 1))
    writer = Writer(rng, oddness)
    hits = [hit(rng, oddness) for _ in range(count)]
    form = rng.randrange(4)
    if form < 2:
        written = [writer.write(each) for each in hits]
        if form == 1:  # a line each, unless it is odd
            written = [each if writer.odd(0.1) else each.replace("\n", " ") for each in written]
        whole = rng.choice(("\n", "\n", "\r\n", "\n\n", " \n")).join(written) if form else f"[{','.join(written)}]"
    else:
        envelope = {"hits": hits, **({"more": anything(rng)} if writer.odd(0.1) else {})}
        whole = writer.write(envelope if form == 2 else hits)
    if writer.odd(0.1):
        whole = rng.choice(ODD) + whole + rng.choice(ODD)
    data = whole.encode("utf-8", "surrogatepass")
    if writer.odd(0.1) and data:
        data = torn(rng, data)
    kind = "application/x-ndjson" if (form == 1 and rng.random() < 0.7) or writer.odd(0.03) else "application/json"
    return data, kind


def one(rng: Random) -> bytes:
    """One hit that is odd."""
    return Writer(rng, 1).write(hit(rng, 1)).encode("utf-8", "surrogatepass")


def variants(seed: int, count: int) -> bytes:
    """A batch of hits that mean the same, each written as none before: white space, escapes; and metrics that never came before."""
    rng = Random(seed)
    writer = Writer(rng, 0)
    writer.spaced = True

    def escaped(word: str) -> Raw:
        return Raw('"' + "".join(f"\\u{ord(letter):04x}" if rng.random() < 0.5 else letter for letter in word) + '"')

    def variant() -> str:
        tree = {
            "country": {"United States": Raw(f"{{{' ' * rng.randrange(99)}{escaped('California')}:{{}}}}")},
            "page": escaped("/index"),
        }
        names = (f"{rng.getrandbits(64):x}", f"m{rng.randrange(10**9)}")
        return writer.write(
            {"pk": [escaped("site"), escaped("shop")], "dimensions": tree, "metrics": dict.fromkeys(names, 1.5)}
        )

    return f"[{','.join(variant() for _ in range(count))}]".encode()


def torn(rng: Random, data: bytes) -> bytes:
    """The same with one byte changed, lost or doubled, or cut off."""
    at = rng.randrange(len(data))
    middle = (
        b"",
        bytes([rng.randrange(256)]),
        data[at : at + 1] * 2,
        rng.choice((b"\xff", b"\xc3", b"\n", b"\r", b'"', b"}{", b",")),
    )
    return data[:at] if rng.random() < 0.1 else data[:at] + rng.choice(middle) + data[at + 1 :]
