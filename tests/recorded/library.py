"""What is asked of the library: every documented call with each argument in turn, on a connection and on the class."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import whale as package
from tests.recorded.records import Entry, in_place, masked, on_lines, shortened
from tests.recorded.world import NOW, PIXEL_KEY, Captured, WhaleWorld, connected, seed
from whale import HailWhale, Span, Whale, client, errors, fasttrack, orm

BASE: dict[str, dict[str, Any]] = {
    "all_subdimensions": {"pk": "shop"},
    "cached_plotpoints": {"pk": "shop", "period": "last_2d"},
    "cached_rank": {"pk": "shop", "dimension": "country", "period": "seven"},
    "cached_total": {"pk": "shop", "period": "seven"},
    "cached_totals": {"pk": "shop", "periods": "seven"},
    "choose": {"name": "page", "visitor": "v1"},
    "count": {"pk": "new"},
    "count_decided": {"pk_base": "new", "decision": "colour", "option": "a"},
    "count_decided_now": {"pk_base": "new", "decision": "colour", "option": "a"},
    "count_decision": {"pk": "new", "decided": {"colour": "a"}},
    "count_hit": {"given": {"pk": "new"}},
    "count_now": {"pk": "new"},
    "count_outcome": {"given": {"pk": "new", "option": "a"}},
    "count_record": {"given": {"pk": "new"}},
    "dataset": {"pk": "shop", "period": "last_2d"},
    "decide": {"pk_base": "banner", "decision_name": "colour", "options": ["a", "b", "c"]},
    "decide_from_reasons": {"good": {"a": {"weight": 0.5}}, "bad": {}, "test": {"b": {}}},
    "decision": {"pk_base": "banner", "decision_name": "colour", "options": ["a", "b", "c"]},
    "decision_report": {"name": "page"},
    "declare_metrics": {"pk": "shop", "metrics": {"revenue": {"unit": "money"}}},
    "decisions": {},
    "define_decision": {"name": "made", "options": ["a", "b"]},
    "factors": {"pk": "shop", "period": "seven"},
    "flush": {},
    "get_spy": {"limit": 2},
    "graph_tag": {"pk": "shop", "dimension": "country"},
    "live_token": {},
    "get_subdimensions": {"pk": "shop"},
    "delete_note": {"id": "nothing"},
    "note": {"text": "release 4", "id": "n-1"},
    "notes": {"pk": "shop"},
    "metrics_of": {"pk": "shop"},
    "outcomes": {"pk": ["banner", "colour"]},
    "pixel": {"pk": "shop"},
    "pks": {},
    "plot_svg": {"pk": "shop", "period": "last_2d"},
    "plotpoints": {"pk": "shop", "period": "last_2d"},
    "plotpoints_of": {"pks": ["shop", "Product"], "period": "today"},
    "range_of": {"period": "seven"},
    "rank": {"pk": "shop", "dimension": "country", "period": "seven", "limit": 2},
    "rank_subdimensions_ratio": {"pk": "shop", "numerator": "revenue", "dimension": "country", "period": "seven"},
    "rank_subdimensions_scalar": {"pk": "shop", "dimension": "country", "period": "seven"},
    "ratio_plotpoints": {"pk": "shop", "numerator": "revenue", "period": "last_2d"},
    "reasons_for": {"pk_base": "banner", "decision_name": "colour", "option": "a"},
    "render_hw_plotpoint_table": {"pk": "shop", "period": "last_2d"},
    "reset": {"pk": "new"},
    "reward": {"decision_id": "nothing"},
    "scalar_plotpoints": {"pk": "shop", "period": "last_2d"},
    "share": {"pk": "shop", "period": "last_2d"},
    "shifts": {"pk": "shop", "metric": "revenue/hits", "cost": "sales"},
    "today": {"pk": "shop"},
    "total": {"pk": "shop", "period": "seven"},
    "totals": {"pk": "shop", "periods": "seven"},
    "totals_of": {"pks": ["shop", "Product"], "periods": "seven"},
    "update_count_to": {"pk": "new", "metrics": {"x": 5}, "at": "2026-11-17", "id": "u-1"},
    "batch": {"pk": "new", "events": ["visit", "buy"], "visitor": "v1"},
    "property": {"pk": "new", "name": "plan", "value": "pro", "visitor": "v1"},
    "event": {"pk": "new", "event": "visit", "visitor": "v1"},
    "erase_visitor": {"pk": "shop", "visitor": "v1"},
    "event_report": {"pk": "shop", "event": "visit"},
    "events": {"pk": "shop", "period": "today"},
    "funnel": {"pk": "shop", "steps": ["visit", "buy"], "period": "today"},
    "save_funnel": {"pk": "shop", "name": "n", "steps": ["visit", "buy"]},
    "funnels": {"pk": "shop"},
    "segments": {"pk": "shop"},
    "save_segment": {"pk": "shop", "name": "payers", "set": {"event": "buy"}},
    "saved_segment": {"pk": "shop", "name": "payers"},
    "delete_segment": {"pk": "shop", "name": "payers"},
    "saved_funnel": {"pk": "shop", "name": "n"},
    "delete_funnel": {"pk": "shop", "name": "n"},
    "sessions": {"pk": "shop", "period": "today"},
    "visits": {"pk": "shop", "by": "source,event", "period": "today"},
    "recent_visitors": {"pk": "shop", "period": "today"},
    "paths": {"pk": "shop", "event": "visit", "period": "today"},
    "retention": {"pk": "shop"},
    "funnel_report": {"pk": "shop", "events": ["visit", "visit"]},
    "save_funnel_report": {"pk": "shop", "name": "f", "events": ["visit", "visit"]},
    "saved_funnel_report": {"pk": "shop", "name": "f"},
    "overlap": {"pk": "shop", "sets": [{"event": "visit"}], "period": "today"},
    "push": {"pk": "shop", "visitor": "3f2c0f52-6a3e-4d57-9d3f-0d6f6a1f2b3c", "data": {"text": "hello"}},
    "talk": {"pk": "shop", "visitor": "3f2c0f52-6a3e-4d57-9d3f-0d6f6a1f2b3c"},
    "listening": {"pk": "shop"},
    "identify": {"pk": "shop", "anonymous": "v1", "known": "anna"},
    "export_visitor": {"pk": "shop", "visitor": "v1"},
    "properties": {"pk": "shop"},
    "property_report": {"pk": "shop", "property": "plan"},
    "visitor": {"pk": "shop", "visitor": "v1"},
    "visitors": {"pk": "shop", "period": "today"},
    "weighted_reasons": {"pk_base": "banner", "decision_name": "colour", "options": ["a", "b", "c"]},
    "yesterday": {"pk": "shop"},
    "zranked": {"pk": "shop", "parent": "country", "period": "seven"},
}
NO_QUESTIONS = frozenset(("connect", "default", "health", "of"))
"""What Whale shares between its doors, which is no question; and the state of this machine."""
ALIKE = frozenset(
    (
        *(
            "cached_plotpoints",
            "cached_rank",
            "cached_total",
            "cached_totals",
            "today",
            "yesterday",
            "scalar_plotpoints",
        ),
        *("graph_tag", "outcomes", "plot_svg", "render_hw_plotpoint_table", "share"),
    )
)
"""What takes the arguments of another call, and hands them on; or is tried by tests of its own."""
ANYTHING: tuple[Any, ...] = (
    None,
    "",
    "x",
    5,
    -1,
    1.5,
    float("nan"),
    True,
    b"x",
    [],
    ["a"],
    {},
    {"a": "b"},
    {1},
    "\ud800",
    "n" * 201,
    10**400,
)
FEW = 5  # values of an argument that another call was given in full
DIMENSIONS: tuple[Any, ...] = (
    "country", ["country", "US"], {"country": "US"}, {"country": ["US", "DE"]}, [["country"], ["device", "PC"]], "Countri",
    ("country", "US"),
    {"country": {"US": None}}, ["a", ["b"]], 5,
)  # fmt: skip
METRICS: tuple[Any, ...] = (
    "revenue", ["revenue", "hits"], "revenue/hits", {"revenue": "hits"}, "p95(wait)", "visitors", "peak", "revenu", "a/", "p50(revenue)",
    {"revenue": 5.5}, {"x": Decimal("1.25")}, {"x": {"max": 5}}, {"x": "is_unique"}, {"x": "5,5"}, {"x": 1e10},
)  # fmt: skip
PERIODS: tuple[Any, ...] = (
    "today", "yesterday", "1h:1d", "1d:1mo", "soon", "2026-11-01..2026-11-18", (86_400, 604_800), ("1mo", None), 3600, (7, 8),
    ["today", "mtd"], Span(NOW - 86_400, NOW, "hour"), Span("2026-11-01", "2026-11-03"),
)  # fmt: skip
TIMES: tuple[Any, ...] = (
    NOW - 86_400, int(NOW * 1000) - 5000, "2026-11-17T10:42Z", date(2026, 11, 17), datetime(2026, 11, 17, 10, tzinfo=UTC),
    datetime(2026, 11, 17, 10), "soon", NOW + 1000, -5,
)  # fmt: skip
VALUES: dict[str, tuple[Any, ...]] = {
    "pk": ("shop", ["Product", "101"], ("Product", 101), "gone", ["a", ["b"]], "shpo"),
    "pk_base": ("banner", ["banner"], "shop"),
    "parent": ("Product", "country", ["country", "US"]),
    "pks": (["shop"], [["Product", "101"], "shop"], "shop", ["p"] * 101),
    **dict.fromkeys(("dimensions", "dimension", "known_data", "known_dimensions"), DIMENSIONS),
    **dict.fromkeys(("metrics", "metric", "value", "by", "columns", "numerator", "denominator", "formula", "by_metric"), METRICS),
    **dict.fromkeys(("period", "periods"), PERIODS),
    **dict.fromkeys(("at", "start_at"), TIMES),
    "tz": ("Europe/Berlin", "Mars/Olympus"),
    "tzoffset": ("-0700", -7, -700, 5.5, "+25"),
    "compare": ("previous", "last_year"),
    "undefined": ("null", "zero"),
    "points_type": (list, dict),
    "sort": ("-revenue", "hits"),
    "order": ("confidence",),
    "goal": ("min",),
    "policy": ("seed", "epsilon"),
    "half_life": ("7d", 86_400, "soon"),
    "options": (("a", "b"), {"colour": ["a", "b"], "font": ["x", "y"]}, ["a", "a"]),
    "option": ("a", "z"),
    "decided": ({"colour": "a", "font": 5},),
    "default": ("a", "z"),
    "baseline": ("new", "none"),
    "phase": (1, 2),
    "index": (0, -1, 8),
    "given": ({"pk": "new", "metrics": {"x": 1}}, {"pk": "new", "other": 1}, {"metrics": {}}),
    "good": ({"a": {}},),
}  # fmt: skip


@dataclass
class Saved:
    """An object of a program."""

    id: Any


class Product(orm.Counted, Saved):
    pass


class User(orm.Counted, Saved):
    counted_as = "Person"


def said(call: Callable[[], Any]) -> str:
    """What a call gives, or raises."""
    try:
        found = call()
    except Exception as error:  # whatever it is, it is what is recorded
        lines = [f"raises {type(error).__name__} ({', '.join(each.__name__ for each in type(error).__mro__[1:-3])})"]
        lines += [f"{name}: {value!r}" for name, value in sorted(vars(error).items())]
        return "\n".join([*lines, on_lines(in_place(str(error)))])
    more = {
        name: value
        for name, value in sorted(getattr(found, "__dict__", {}).items())
        if isinstance(found, dict) and name[0] != "_"
    }
    shown = f"{type(found).__name__} {found!r}" + (f" {more}" if any(more.values()) else "")
    return shortened(on_lines(masked(shown)))


def call_entry(
    name: str, function: Callable[..., Any], arguments: dict[str, Any], world: WhaleWorld | None, more: str = ""
) -> Entry:
    """One call by name, its positional-only arguments by place."""
    places = [
        each.name for each in inspect.signature(function).parameters.values() if each.kind == each.POSITIONAL_ONLY
    ]
    some, named = [], dict(arguments)
    for place in places:
        if place not in named:
            break
        some.append(named.pop(place))
    shown = ", ".join([*(f"{value!r}" for value in some), *(f"{key}={value!r}" for key, value in named.items())])
    answer = said(lambda: function(*some, **named))
    if world is not None:
        world.settle()
    if more:
        answer += f"\n{more}"
    return Entry(f"{name}({shortened(on_lines(shown)).replace(chr(10), ' ')})", answer)


def library_calls() -> Iterator[Entry]:
    """Each argument of each call in turn: with every value at the first call that takes it, with a few at the others."""
    tried: set[str] = set()
    world = WhaleWorld(pixel_key=PIXEL_KEY)
    seed(world.whale)
    world.settle()
    queue = Captured(world.settings)
    world.whale._parts.publisher = queue
    for name in sorted(public_names(Whale), key=lambda name: (name in ("batch", "event", "property", "reset"), name)):
        if name in NO_QUESTIONS:
            continue
        function, base = getattr(world.whale, name), BASE[name]
        yield call_entry(name, function, base, world)
        yield call_entry(name, function, {}, world)
        yield call_entry(name, function, {**base, "nonsense": 1}, world)
        for each in inspect.signature(function).parameters.values():
            if each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL):
                continue
            if name in ALIKE:
                continue
            values = (*VALUES[each.name], None, 5, b"x") if each.name in VALUES else ANYTHING
            for value in values[: FEW if each.name in tried else None]:
                yield call_entry(name, function, {**base, each.name: value}, world)
            tried.add(each.name)
        if queue.taken:
            yield Entry(f"handed on by {name}", shortened(on_lines("; ".join(queue.taken))))
            queue.taken.clear()


def library_class() -> Iterator[Entry]:
    """Calls on the class, by the default connection; HailWhale; objects of an ORM."""
    with connected() as world:
        seed(world.whale)
        for name in public_names(Whale):
            if name not in NO_QUESTIONS:
                yield call_entry(f"Whale.{name}", getattr(Whale, name), BASE[name], world)
        for name, arguments in (
            ("log", {"path": ["a", "b"], "values": {"x": 2}}), ("log", {"path": ["a", "v1"], "values": {"u": "is_unique"}}),
            ("log", {"path": "a"}), ("log", {"path": []}), ("dataset", {"path": ["a"]}), ("dataset", {"path": ["a"], "depth": 1}),
            ("dataset", {"path": ["a"], "value": "x", "period": "today"}), ("dataset", {"path": "a"}), ("totals", {"pk": "analytics"}),
        ):  # fmt: skip
            yield call_entry(f"HailWhale.{name}", getattr(HailWhale, name), arguments, world)
        product, new, user = Product(5), Product(None), User("ann")
        for _ in range(3):
            product.count_now({"country": "US"}, {"revenue": 5}, NOW - 100)
        calls: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("counted_pk()", product.counted_pk), ("counted_pk() of a new one", new.counted_pk),
            ("counted_pk() of a user", user.counted_pk),
            ("count_now() of a new one", new.count_now),
            ("count_now_related(user)", lambda: product.count_now_related(user, {"country": "US"})),
            ("count_now_related(several)", lambda: product.count_now_related([user, Product(6)], ["a", "b"], {"x": 1})),
            ("plotpoints()", lambda: product.plotpoints(period="today")),
            ("plotpoints_related()", lambda: product.plotpoints_related(user, "country", period="today")),
            ("scalar_plotpoints()", lambda: product.scalar_plotpoints(None, "revenue", period="today")),
            ("ratio_plotpoints()", lambda: product.ratio_plotpoints("revenue", period="today")),
            ("totals()", lambda: product.totals(periods="today")),
            ("totals_related()", lambda: product.totals_related(user, periods="today")),
            ("total()", product.total), ("total('revenue')", lambda: product.total("revenue", period="today")),
            ("total_related()", lambda: product.total_related(user)), ("today()", product.today), ("yesterday()", product.yesterday),
            ("get_subdimensions()", product.get_subdimensions), ("all_subdimensions()", product.all_subdimensions),
            ("related(user)", lambda: orm.related(user)), ("related([user], 'a')", lambda: orm.related([user], "a")),
            ("related(user, [['a'], ['b', 'c']])", lambda: orm.related(user, [["a"], ["b", "c"]])),
            ("related(new)", lambda: orm.related(new)),
            ("pk_of(5)", lambda: orm.pk_of(5)), ("pk_of(bytes)", lambda: orm.pk_of(Product(b"\xff"))),
            ("pk_of(list)", lambda: orm.pk_of(Product([1]))), ("pk_of(object)", lambda: orm.pk_of(Product(Decimal("1.50")))),
        )  # fmt: skip
        for name, call in calls:
            yield Entry(f"orm: {name}", said(call))
    for url in (
        "redis://127.0.0.1:1/0",
        "nonsense://x",
        "http://x",
        "redis://127.0.0.1:x",
        "redis://127.0.0.1/0?nonsense=1",
    ):
        yield Entry(f"whale.connect({url!r})", said(lambda url=url: package.connect(url)))


TRACKED: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("track_count", ("7", "likes")), ("track_count", ("7", "likes", 2)), ("track_count", (7, "likes", -1)), ("track_count",
    ("7", "likes", "x")),
    ("track_metric", ("7", "likes", date(2026, 11, 2))), ("track_metric", (["7", "8"], ["likes", "seen"], date(2026, 11, 3), 5)),
    ("track_metric", ("7", "likes", "2026-11-02")), ("track_metric", ("7", "", date(2026, 11, 2))), ("track_metric",
    ("n" * 201, "a", date(2026, 1, 1))),
    ("track_metric", ("7", "likes", datetime(2026, 11, 4, 23))), ("set_metric_by_day", ("7", "likes", date(2026, 11, 2), 40)),
    ("set_metric_by_day", ("7", "likes", date(2026, 11, 2), 40, True)), ("sync_agg_metric",
    ("7", "likes", date(2026, 11, 1), date(2026, 11, 30))),
    ("sync_week_metric", ("7", "likes", date(2026, 11, 1), date(2026, 11, 30))),
    ("sync_month_metric", ("7", "likes", date(2026, 11, 30), date(2026, 11, 1))), ("get_metric_by_day",
    ("7", "likes", date(2026, 11, 1), 5)),
    ("get_metric_by_week", ("7", "likes", date(2026, 11, 1), 5)), ("get_metric_by_month", ("7", "likes", date(2026, 11, 1), 5)),
    ("get_metric_by_day", ("7", "likes", date(2026, 11, 1), 0)), ("get_metric_by_day", ("7", "likes", None)),
    ("get_metrics", ([("7", "likes"), ("8", "seen")], date(2026, 11, 1))), ("get_metrics", ("7", date(2026, 11, 1))),
    ("get_count", ("7", "likes")), ("get_count", ("7", "likes", date(2026, 11, 1), date(2026, 11, 3))), ("get_counts", ([("7", "likes")],)),
    ("get_counts", ("7",)), ("track_uncountable", ("u", "e", {"a": 1}, NOW)), ("track_uncountable", ("u", "e", {"a": {"b": [1]}})),
    ("track_uncountable", ("u", "e", 5)), ("track_uncountable", ("u", "e", {"a": 1}, "soon")), ("get_uncountable_for_user", ("u", "e")),
    ("get_uncountable", ("e",)), ("get_uncountable_for_user", ("none", "e")), ("clear_all", ()), ("get_count", ("7", "likes")),
)  # fmt: skip


def library_fasttrack() -> Iterator[Entry]:
    tracker = fasttrack.Memory(clock=lambda: NOW)
    for name, arguments in TRACKED:
        yield Entry(f"{name}{on_lines(repr(arguments))}", said(lambda n=name, a=arguments: getattr(tracker, n)(*a)))
    for name in public_names(fasttrack.Tracker):
        if callable(getattr(tracker, name, None)):
            yield Entry(f"{name}() of Dummy", said(lambda n=name: getattr(fasttrack.Dummy(), n)("a", "b")))
            if name != "clear_all":
                yield Entry(f"{name}()", said(lambda n=name: getattr(tracker, n)()))
    for config in (
        {}, {"backend": "memory"}, {"backend": "nonsense.Thing"}, {"backend": "whale.fasttrack.Memory", "settings": {}}, 5, None,
        {"backend": "whale.fasttrack.Memory", "settings": {"nonsense": 1}}, {"backend": "analytics.backends.redis.Redis", "settings": {}},
        {"backend": "whale.fasttrack.Redis", "settings": {"hosts": [{"host": "127.0.0.1", "port": "x"}]}},
    ):  # fmt: skip
        yield Entry(
            f"create_analytic_backend({config!r})",
            said(lambda c=config: type(fasttrack.create_analytic_backend(c)).__name__),
        )


def library_names() -> Iterator[Entry]:
    """What there is: names and signatures, without the modules of their types."""
    yield Entry("whale.__all__", str(sorted(package.__all__)))
    yield Entry("whale.nonsense", said(lambda: package.nonsense))
    for name in sorted(package.__all__):
        yield Entry(f"whale.{name}", f"{type(getattr(package, name)).__name__} {signature_of(getattr(package, name))}")
    for kind in (Whale, HailWhale, orm.Counted, fasttrack.Tracker, fasttrack.Redis, fasttrack.Memory, fasttrack.Dummy):
        yield Entry(f"public names of {kind.__name__}", "\n".join(public_names(kind)))
        for name in public_names(kind):
            yield Entry(f"{kind.__name__}.{name}", signature_of(getattr(kind, name)))
    for module in (client, errors, fasttrack, orm):
        own = [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", "") == module.__name__ and name[0] != "_"
        ]
        yield Entry(f"what {module.__name__} defines", "\n".join(sorted(own)))
    for name, kind in sorted(vars(errors).items()):
        if isinstance(kind, type) and issubclass(kind, Exception):
            yield Entry(f"errors.{name}", " < ".join(each.__name__ for each in kind.__mro__))


def public_names(kind: type) -> list[str]:
    return [name for name in dir(kind) if not name.startswith("_")]


def signature_of(value: Any) -> str:
    if not callable(value):
        return f"{value!r}"
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "no signature"
    empty = inspect.Parameter.empty
    plain = [each.replace(annotation=empty) for each in found.parameters.values()]
    return str(inspect.Signature(plain))
