"""Good and bad values of parameters, by name."""

import base64
import json

LONG = "n" * 201
ANYTHING = ("", "[", "{'a'", "\0", "é 😀", "_", "null", "5", "-1", "true", "nan", LONG, "['a','b'", "\ud800")
PATHS = (
    "country", "country/US", '["country","US"]', '{"country":"US"}', '{"country":["US","DE"]}', '[["country"],["device","PC"]]',
    '["country",["US","FR"]]', '{"country":{"US":"north"},"device":null}', "page", '["page","/3"]', "Countri", '["country","Östereich"]',
    "__other__", '["a","b","c","d","e","f","g","h","i"]', '[["a"],5]', '[[]]', "[]", "{}", '{"a":{"b":[1,{"c":2}]}}',
)  # fmt: skip
METRICS = (
    "revenue", '["revenue","hits"]', "revenue/hits", '{"revenue":"hits"}', "peak", "least", "stock", "wait", "p50(wait)", "p95(wait)",
    "p101(wait)", "visitors", "revenue/visitors", "revenu", "a/b", "(revenue-sales)/hits", "revenue*2", "revenue+sales", "hits/0", "/hits",
    "revenue//hits", "p50(revenue)", "[]", '[["revenue"]]', '{"revenue":["hits"]}', "revenue,sales", '["revenue","revenue"]', "__decided__",
    "sum(revenue)", "max(peak)", "revenue / hits", "1", "manual", "wilson(sales/hits)",
)  # fmt: skip
PERIODS = (
    "today", "yesterday", "seven", "thirty", "year", "hour", "24h", "wtd", "mtd", "ytd", "last_week", "last_month", "last_3d", "1d:1mo",
    "1h:1d", "1m:1h", "15m:6h", "1mo:1y", "1d", "1w", "7d", "7m", "2h:1d", "0d", "1d:", "soon", "lastweek", "3600", "today|Europe/Berlin",
    "seven|America/New_York", "today|+05:45", "today|Mars/Olympus", "wtd|sunday", "2026-11-01..2026-11-18", "2026-11", "2026-11-17",
    "1h:2026-11-17..2026-11-18", "1m:1y", "11/01/2026-11/18/2026", "2026-11-18..2026-11-01", "1d:100y", "15m", "1d:1w,1h:1d",
)  # fmt: skip
TIMES = (
    "2026-11-17", "2026-11-17T10:42", "2026-11-17T10:42Z", "2026-11-17T10:42+05:45", "1794900000", "1794900000.5", "1794900000250",
    "1794900000250125", "20261117", "2026-13-01", "2027-01-01", "1900-01-01", "soon", "2015", "1e300", "99999999999999999999", "-5",
)  # fmt: skip
WHOLE = ("0", "1", "2", "8", "9", "-1", "1.5", "1e3", "1000000", "99999999999999999999", "two", " 3")
SHARES = ("0", "0.5", "1", "1.5", "-0.1", "nan", "inf", "1e400", "half")
BOOLEANS = ("1", "0", "true", "false", "yes", "on", "2")

VALUES: dict[str, tuple[str, ...]] = {
    "pk": (
        "shop", '["shop"]', "Product", '["Product","101"]', "['Product', 101]", "gone", "part", "zero", 'odd, ["pk"]', "shpo", "[]",
        '{"a":1}', '["a",["b"]]', '["a","b","c","d","e","f","g","h","i"]', '["banner","colour"]', "banner", "page",
    ),
    "pks": ('["shop","Product"]', '["shop","nothing"]', '[["Product","101"],"shop"]', "shop", "[]", "[[]]", json.dumps(["p"] * 101)),
    "dimensions": PATHS,
    "dimension": ("country", '["country","US"]', "["),
    "metrics": METRICS,
    "metric": METRICS,
    "value": METRICS,
    "by": METRICS,
    "columns": METRICS,
    "by_metric": ("value", "value/hits", "hits", "earned", "earned/hits", "value/visitors", "value*2", "/", "p50(value)"),
    "period": PERIODS,
    "periods": ("today,mtd", '["today","mtd"]', "today,today", "today,soon", "[]", ",", "1d:1mo", '["1d:1mo",["a"]]', "today,1m:1y"),
    "against": ("yesterday", "last_month", "2026-10-01..2026-10-08", "soon", "today"),
    "start": TIMES,
    "finish": TIMES,
    "start_at": TIMES,
    "at": TIMES,
    "interval": ("minute", "hour", "day", "week", "month", "year", "15m", "1d", "fortnight", "7m", "60"),
    "buckets": WHOLE,
    "tz": ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Mars/Olympus", "../etc/passwd", "utc"),
    "tzoffset": ("-0700", "+05:30", "-7", "-700", "+25", "5.5", "east"),
    "week": ("monday", "sunday", "friday"),
    "depth": WHOLE,
    "sort": ("revenue", "-revenue", "hits", "-hits", "sales/hits", "-", "revenu", "p50(wait)"),
    "limit": (*WHOLE, "100", "101", "200", "201"),
    "offset": WHOLE,
    "index": ("0", "1", "-1", "-2", "7", "8", "x", "1.0"),
    "points_type": ("list", "dict", "tuple"),
    "undefined": ("zero", "null", "nil"),
    "compare": ("previous", "last_year", "next", "yes"),
    "order": ("value", "confidence", "name"),
    "goal": ("max", "min", "most"),
    "policy": ("thompson", "epsilon", "seed", "split", "best"),
    "options": ("['a', 'b', 'c']", '["a"]', "a", "[]", '["a","a"]', '["a",["b"]]', '["a",5]', json.dumps([f"o{i}" for i in range(201)])),
    "decision": ("colour", '["colour"]', "font", "a/b"),
    "half_life": ("7d", "1h", "1y", "soon", "0", "86400"),
    "visitor": ("v1", "ann", LONG, "a b"),
    "default": ("a", "z"),
    "baseline": ("old", "new", "none"),
    "phase": WHOLE,
    "uid": ("u1", "_new", "u" * 51, "ü"),
    "event": ("signup", LONG),
    "id": ("order-1", LONG, "[1]"),
    "option": ("a", "z", '["a"]', LONG),
    "threshold": SHARES,
    "min_support": (*SHARES, "20"),
    "exploration": SHARES,
    "floor": SHARES,
    "epsilon": SHARES,
    "min_trials": (*SHARES, "100"),
    "bad_idea_threshold": SHARES,
    "test_idea_threshold": SHARES,
    **dict.fromkeys(
        ("flot_time", "descending", "with_totals", "explain", "cached", "unmemoize", "ascending", "all", "archived", "trial"), BOOLEANS
    ),
}  # fmt: skip
CHILD_PKS = ("1", "0", "maybe")  # `pks` of /rank

OF_HITS: dict[str, tuple[str, ...]] = {
    "pk": (
        "shop", '["Product","123"]', "['Product', 123]", "5", "1.5", "[]", "{}", '{"a":"b"}', '["a",null]', '["a",["b"]]', "true", "é 😀",
        '["a","b","c","d","e","f","g","h","i"]', '[""]', "[1e400]", "a\nb", "__other__", "_",
    ),
    "dimensions": (
        *PATHS, "services", "{'sales': 55}", '{"a":{"b":{"c":"d"}}}', '[["a","b"],["c"]]', '["a",{"b":"c"}]', '{"a":true}', '{"a":1.5}',
        json.dumps({f"d{i}": i for i in range(65)}), "{'a': None}", '{"":"x"}', '{"a":[]}', '{"a":"\\ud800"}',
    ),
    "dimension": ("services", "["),
    "metrics": (
        '{"dollars": 200}', "{'dollars': -.5}", '{"dollars": "12,50"}', '{"dollars": 1e10}', '{"dollars": 1e-7}', '{"dollars": NaN}',
        '{"dollars": true}', '{"dollars": null}', '{"dollars": "5"}', '["dollars","sales"]', "dollars", '{"a":{"max":5}}',
        '{"a":{"min":-5}}',
        '{"a":{"last":0}}', '{"a":{"quantile":5.25}}', '{"a":"is_unique"}', '{"a":{"unique":"ann"}}', '{"a":{"distinct":"ann"}}',
        '{"a":{"sum":3}}', '{"a":{"mean":5}}', '{"a":{"max":5,"min":5}}', '{"a":{}}', '{"a":[1]}', '{"hits":5}', '{"hits":0}', '{"a/b":1}',
        '{"":1}', json.dumps({f"m{i}": i for i in range(17)}), '{"__decided__":1}', '{"p50(x)":1}', "{}", "[]", '{"a":0.1}', '{"a":9e9}',
        '{"a":123456.7890125}',
    ),
    "metric": ('{"dollars": .50}', "dollars", "["),
    "at": TIMES,
    "id": ("order-1", LONG, "5", '["a"]', "a\0"),
    "visitor": ("ann", LONG, "5", "ä"),
    "event": ("signup", LONG, "5"),
    "option": ("a", LONG, '["a"]', "5", "__other__"),
    "decision": ("colour", LONG, '["a"]', "5"),
    "decision_id": ("x", LONG, "[]"),
    "uid": ("u1", "_new", "u" * 51, "ü"),
    "callback": ("counted", "app.done", "a b", "alert(1)", "a.b.c.d.e.f.g", "x" * 62),
    "pixel": ("x", "AAAA", "~"),
    "period": ("1d", "1h:1d", "1m:1h", "7m", "1w", "today", "soon"),
    "rank": BOOLEANS,
    "key": ("k",),
    "pk_": ("misspelt",),
    "utm_source": ("mail",),
    "dimensons": ("misspelt",),
    "_": ("1",),
}  # fmt: skip

JSON_VALUES: tuple[object, ...] = (
    None, True, 0, -1.5, 1e300, "", "text", "é 😀", "\0", LONG, [], ["a"], [["a"]], [None], {}, {"a": 1}, {"a": {"b": None}}, {"a": [1, 2]},
)  # fmt: skip

BODIES: tuple[tuple[str, bytes], ...] = (
    ("application/json", b"{"),
    ("application/json", b"[]"),
    ("application/json", b'[{"pk":"a"}]'),
    ("application/json", b"5"),
    ("application/json", b"null"),
    ("application/json", b'{"pk":"a","pk":"b"}'),
    ("application/json", b'{"pk":"\xff"}'),
    ("application/json", b'{"pk":"a","unknown":1}'),
    ("application/json", b'\xef\xbb\xbf{"pk":"a"}'),
    ("application/json", b'{"pk":"a","metrics":{"x":NaN}}'),
    ("application/json", b'{"pk":"a","metrics":{"x":' + b"9" * 400 + b"}}"),
    ("application/json", b"[" * 2000),
    ("application/json; charset=utf-16", '{"pk":"a"}'.encode("utf-16")),
    ("application/x-www-form-urlencoded", b"pk=shop&metrics=revenue"),
    ("application/x-www-form-urlencoded", b"pk=shop&pk=other"),
    ("application/x-www-form-urlencoded", b"pk=%ff"),
    ("application/x-www-form-urlencoded", b'{"pk":"a"}'),
    ("application/x-www-form-urlencoded", b"nothing=1"),
    ("text/plain", b'{"pk":"a"}'),
    ("text/plain", b"pk=a"),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--"),
    ("", b'{"pk":"a"}'),
    ("application/json", b" " * 1_000_001),
)


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"any:{key}".encode()).decode()
