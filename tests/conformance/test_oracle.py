"""Random hits through random doors, random questions: Whale answers as the oracle does, which knows the docs alone.

A world is an account in a zone at a moment, often an awkward one: a clock that changes, the end of a year. A seed makes it, so a
failure names the seed and is found again. One comparison is one value: a number, a list of points, a range as an answer says it, a
sum of points, or that something is refused, with its code.
"""

import itertools
import json
import math
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path as File
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest

import hail.web
from hail.hit import HitError
from hail.message import decode_message
from hail.publish import Publisher
from hail.settings import load
from tests.asking import NO_TIMES, ZONES, changes, moment, question
from tests.existing import make_accounts
from tests.oracle import (
    CTIME,
    DAY,
    DISTINCT,
    HOUR,
    MINUTE,
    Answers,
    Asked,
    Calendar,
    Hit,
    Path,
    Refused,
    Width,
    Window,
    begins,
    clock_of,
    time_read,
)
from tests.servers import RedisServer
from tests.wsgi import Answer, call
from whale.client import Whale
from whale.commands.importer import Refused as RefusedRows
from whale.commands.importer import blocks, publisher_of
from whale.commands.imports import Stretch
from whale.commands.mapping import load_mapping
from whale.commands.rows import scan
from whale.count.apply import Applier
from whale.count.hailwail import Apply, Hailwail
from whale.errors import CallerError
from whale.period import Span
from whale.store.redis import connect
from whale.web import make_app

KEPT = (
    "((60, 86400), (900, 1209600), (3600, 7776000), (86400, None), ('1mo', None))",
    "((60, None), (3600, None), (86400, None))",
    "((15, 3600*3), (900, None), (3600, 3600*24*7), (86400, None), ('1mo', None))",
    "((1800, None), (86400, 86400*400))",
)
KINDS = {"low": "min", "high": "max", "temperature": "last", "took": "quantile", "visitors": "unique"}
FORMULAS = ("hits", "revenue", *KINDS, "revenue/hits", "p50(took)", "p95(took)", "hits/visitors")
SUMS = {"hits", "revenue"}
PKS: tuple[Path, ...] = (("shop",), ("shop", "a"), ("shop", "b"))
DIMENSIONS = (
    None, "plain", ["country", "US"], {"country": "US"}, {"country": "DE", "device": {"mac": "air"}}, {"country": ["US", "CA"]},
    [["a"], ["b", "c"]], {"a": 5, "b": {"x": 1}}, {"country": {"US": {"LA": "west"}}, "is_new": True, "unknown": None}, "_",
)  # fmt: skip
QUESTIONS = 70  # of a world
MANY = 1_000  # points: one of ten such questions is asked
IMPORT = """
pk = ["shop", { column = "who" }]
format = "ndjson"
at = "when"
[dimensions]
country = "country"
[metrics]
revenue = "revenue"
"""


@pytest.mark.parametrize("least", [5_000, pytest.param(100_000, marks=pytest.mark.long(part="oracle"))])
def test_whale_answers_as_an_oracle_that_knows_the_docs_alone(
    least: int, redis_server: RedisServer, unique: str, tmp_path: File
) -> None:
    compared = Counter[str]()
    first = secrets.randbits(40)
    for seed in itertools.count(first):
        world = World(seed, f"{unique}-{seed}", redis_server.url, tmp_path / str(seed))
        compared += world.count()
        for _ in range(QUESTIONS):
            compared += world.ask()
        if compared.total() >= least:
            break
    print(f"{compared.total()} comparisons from seed {first} to {seed}: {dict(compared)}")
    assert min(compared[kind] for kind in ("numbers", "points", "ranges", "laws", "refusals")) > least // 100, compared


@dataclass(frozen=True)
class About:
    """What a question asks for, beside its time. nothing: what is answered where there is nothing to say."""

    pk: Path
    path: Path
    formulas: list[str]
    nothing: float | None = 0

    @property
    def name(self) -> str:
        return name_of(self.path)

    def parameters(self) -> dict[str, str]:
        undefined = "zero" if self.nothing == 0 else "null"
        return {"pk": json.dumps(self.pk), "dimensions": json.dumps(self.path), "undefined": undefined}


class World:
    """One account, and all that was counted in it."""

    def __init__(self, seed: int, account: str, url: str, folder: File):
        self.random = random = Random(seed)
        self.seed, self.account, self.folder = seed, account, folder
        self.zone = random.choice(ZONES)
        self.now = now = float(moment(random, self.zone))
        folder.mkdir()
        self.settings = load(
            {
                "HAILWHALE_TIMEZONE": self.zone,
                "HAILWHALE_PERIODS": random.choice((KEPT[0], *KEPT)),
                "HAILWHALE_WEEK_STARTS": random.choice(("monday", "monday", "sunday")),
                "HAILWHALE_DATA_DIR": str(folder),
                "HAILWHALE_REDIS_URL": url,
            }
        )
        kept: dict[Width, float | None] = {
            "1d" if each == DAY else each: for_s for each, for_s in self.settings.periods
        }
        self.calendar = Calendar(self.zone, kept, now, self.settings.week_starts)
        self.distinct = {
            width: min((each for each in (kept[width], most) if each is not None), default=None)
            for width, most in DISTINCT.items()
            if width in kept
        }
        self.oldest = now - (kept["1d"] or math.inf) + 2 * DAY
        self.store = connect(self.settings)
        make_accounts(self.store, account, zone=self.zone)
        self.whale = Whale(self.store, self.settings, account, clock=lambda: now)
        self.app = make_app(self.settings, self.whale)
        self.hits = [self.hit(number) for number in range(random.randrange(2, 25))]
        self.answers = Answers(self.hits, KINDS)

    # hits

    def hit(self, number: int) -> Hit:
        """Each at a time of its own, so that one of them is the last."""
        random = self.random
        values: dict[str, Any] = {
            "revenue": random.choice((5, 0.1, -2.5, 1234.5678915, 7.25)),
            "hits": random.choice((2, 0, 3)),
            "low": {"min": random.randrange(-9, 9)},
            "high": {"max": random.randrange(-9, 9) / 4},
            "temperature": {"last": random.randrange(-9, 9) / 4},
            "took": {"quantile": random.choice((-3, 0, 0.5, 1, 7, 100, 10_000))},
            "visitors": {"unique": random.choice(("ann", "bob", "cy"))},
        }
        metrics = {name: value for name, value in values.items() if random.random() < 0.3}
        at = self.time()
        if random.random() < 0.15:  # an exact day, which hits may share; so none of them is the last
            at = at // DAY * DAY
            metrics.pop("temperature", None)
        else:
            at += number / 1000
        return Hit(at, random.choice(PKS), random.choice(DIMENSIONS), metrics)

    def time(self) -> float:
        """Before now: lately, long ago, or beside an edge of days or a change of a clock."""
        random, now = self.random, int(self.now) - 1
        zone = random.choice((self.zone, *ZONES))
        ago = int(random.choice((MINUTE, HOUR, DAY, 8 * DAY, 100 * DAY, 800 * DAY, 2500 * DAY)) * random.random())
        day = datetime.fromtimestamp(now - ago, clock_of(zone)).date()
        edge = random.choice((begins(day, zone), *changes(zone, day.year)))
        near = random.choice((0, 0, 1, -1, 1800, -1800, random.randrange(-HOUR, HOUR)))
        return float(min(max(random.choice((now - ago, edge + near)), self.oldest), now))

    def count(self) -> Counter[str]:
        """Counts each hit, by a door that is drawn."""
        random, hits = self.random, list(self.hits)
        random.shuffle(hits)
        publisher = Publisher(self.settings, lambda: self.now)
        try:
            app = hail.web.make_app(self.settings, publisher, lambda: self.now, self.whale.account)
            while hits:
                together = [hits.pop() for _ in range(min(len(hits), random.randrange(1, 4)))]
                door = random.choice((self.by_hail, self.by_batch, self.by_whale, self.by_library, self.by_import))
                door(app, together)
            compared = self.refused(app)
        finally:
            publisher.close()
        apply = Apply(self.settings, lambda: self.now)
        hailwail = Hailwail(self.settings, apply, lambda: self.now, live=False, force=False)
        while hailwail.once():
            pass
        return compared

    def fields(self, hit: Hit) -> dict[str, Any]:
        """A hit as somebody may write it."""
        random, metrics = self.random, dict(hit.metrics)
        found: dict[str, Any] = {"pk": list(hit.pk) if len(hit.pk) > 1 or random.random() < 0.5 else hit.pk[0]}
        if hit.dimensions is not None:
            found[random.choice(("dimensions", "dimension"))] = hit.dimensions
        if "visitors" in metrics and random.random() < 0.5:
            found["visitor"], metrics["visitors"] = metrics["visitors"]["unique"], "is_unique"
        if metrics:
            found[random.choice(("metrics", "metric"))] = metrics
        return found | {"at": random.choice(spellings(hit.at))}

    def by_hail(self, app: Any, hits: Iterable[Hit]) -> None:
        for hit in hits:
            fields, route = self.fields(hit), self.random.choice(("/count", "/count.gif", "/count.js"))
            answer = self.one(app, route, fields) if route == "/count" else call(app, "GET", route, texts(fields))
            assert answer.status in (200, 202), (fields, answer)
            assert answer.headers.get("X-Hail", "accepted") == "accepted", (fields, answer)

    def refused(self, app: Any) -> Counter[str]:
        """A hit at no time, which no door counts."""
        at: Any = self.random.choice((*NO_TIMES, 2015, 201506, 20151345, True, 1e300))
        fields = {"pk": "shop", "at": at}
        for answer in (self.one(app, "/count", fields), self.one(self.app, "/count_now", fields)):
            self.check((answer.status, answer.json.get("code")) == (400, "bad_time"), fields, answer.text, "bad_time")
        image = call(app, "GET", "/count.gif", texts(fields)).headers["X-Hail"]
        self.check(image == "dropped; reason=bad_time", fields, image, "bad_time")
        batch = call(app, "POST", "/batch", body=json.dumps([fields]).encode(), CONTENT_TYPE="application/json")
        self.check(batch.json["results"][0]["code"] == "bad_time", fields, batch.text, "bad_time")
        with pytest.raises(HitError) as caught:
            self.whale.count_hit(fields)
        self.check(caught.value.reason == "bad_time", fields, caught.value, "bad_time")
        return Counter(refusals=5)

    def by_batch(self, app: Any, hits: Iterable[Hit]) -> None:
        rows = [json.dumps(self.fields(hit)) for hit in hits]
        body = "\n".join(rows) if self.random.random() < 0.5 else f"[{','.join(rows)}]"
        answer = call(app, "POST", "/batch", body=body.encode(), CONTENT_TYPE="application/json")
        assert (answer.status, answer.json["accepted"]) == (202, len(rows)), (body, answer)

    def by_whale(self, _: Any, hits: Iterable[Hit]) -> None:
        for hit in hits:
            fields = self.fields(hit)
            answer = self.one(self.app, self.random.choice(("/count_now", "/tracker")), fields)
            assert answer.status == 200, (fields, answer)

    def one(self, app: Any, route: str, fields: dict[str, Any]) -> Answer:
        """By address, as JSON, or as a form."""
        match self.random.randrange(3):
            case 0:
                return call(app, "GET", route, texts(fields))
            case 1:
                return call(app, "POST", route, body=json.dumps(fields).encode(), CONTENT_TYPE="application/json")
        return posted(app, route, texts(fields))

    def by_library(self, _: Any, hits: Iterable[Hit]) -> None:
        for hit in hits:
            fields = self.fields(hit)
            if self.random.random() < 0.3:
                fields["at"] = datetime.fromtimestamp(hit.at, clock_of(self.random.choice(ZONES)))
            if self.random.random() < 0.5:
                self.whale.count_hit(fields)
            else:
                self.whale.count_now(**fields)

    def by_import(self, app: Any, hits: Iterable[Hit]) -> None:
        """What a row can say; the rest by another door."""
        rows = []
        for hit in hits:
            if len(hit.pk) > 1 and hit.dimensions == {"country": "US"} and set(hit.metrics) <= {"revenue"}:
                at, revenue = self.random.choice(spellings(hit.at)), hit.metrics.get("revenue", 0)
                rows.append({"who": hit.pk[1], "country": "US", "revenue": revenue, "when": at})
            else:
                self.by_hail(app, [hit])
        if not rows:
            return
        file, mapping_file, wrong = self.folder / f"{secrets.token_hex(4)}.ndjson", self.folder / "m.toml", list[str]()
        mapping_file.write_text(IMPORT)
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        mapping = load_mapping(str(mapping_file), self.settings)
        content, at_ms, settings = scan(str(file), mapping), int(self.now * 1000), self.settings
        stretches = [Stretch(0, None, at_ms, 100, ((publisher_of(content, mapping, 100), 1, ""),))]
        refused = RefusedRows(wrong.append)
        for block in blocks(str(file), content.size, content.form, mapping, stretches, settings, refused):
            messages = [msgspec.structs.replace(decode_message(body), account=self.account) for body in block.bodies]
            Applier(self.store, settings).apply(messages, self.now)
        assert wrong == [], (wrong, rows)

    # questions

    def ask(self) -> Counter[str]:
        """One question, compared."""
        random = self.random
        asked, pk = question(random, self.zone, self.now), random.choice(PKS)
        paths = sorted({path for hit in self.hits if hit.pk[: len(pk)] == pk for path in hit.paths} | {(), ("never",)})
        formulas = random.sample(FORMULAS, random.randrange(1, 5))
        about = About(pk, random.choice(paths), formulas, random.choice((0, None)))
        window = self.window(asked, about)
        if isinstance(window, Window) and window.points > MANY and random.random() < 0.9:
            return Counter()
        plotted = (self.plotpoints, self.plotpoints, self.dataset)
        summed = (self.totals, self.several, self.compared, self.total, self.rank, self.library)
        return random.choice((*plotted, *summed))(asked, about)

    def window(self, asked: Asked, about: About, at: str | None = None, is_ahead: bool = True) -> Window | Refused:
        """What the oracle reads. at: as if it were asked then.  is_ahead: whether what has not begun is answered."""
        try:
            then = None if at is None else time_read(at)
            found = self.calendar.window(asked, then)
            if not is_ahead and found.start > self.now:
                return Refused("bad_period", "period" if asked.start is None else "start")
            if self.names_visitors(about):
                self.calendar.window(asked, then, self.distinct)
        except Refused as refused:
            return refused
        return found

    def values(self, about: About, start: float, end: float) -> list[float | None]:
        return [self.answers.value(each, about.pk, about.path, start, end, about.nothing) for each in about.formulas]

    def answer(self, route: str, asked: Asked, about: About, **more: Any) -> tuple[Answer, Window | None]:
        """The window where both have an answer; None where both refuse."""
        parameters = about.parameters() | asked.parameters() | more
        if route == "/rank":
            del parameters["undefined"]
        ask = posted if self.random.random() < 0.2 else got
        answer = ask(self.app, route, parameters)
        window = self.window(asked, about, more.get("at"), is_ahead=route != "/rank")
        if isinstance(window, Refused):
            is_right = answer.status == 400 and answer.json["code"] in window.codes
            if is_right and answer.json["code"] != "too_many_points":
                is_right = answer.json["field"] == window.field
            self.check(is_right, (route, parameters), answer.text[:300], (window.codes, window.field))
            return answer, None
        if route == "/rank" and not self.is_ranked(window, about):
            is_right = answer.status == 400 and answer.json["code"] == "too_many_points"
            self.check(is_right, (route, parameters), answer.text[:300], "too_many_points")
            return answer, None
        self.check(answer.status == 200, (route, parameters), answer.text[:300], window.said())
        said = answer.headers["X-Whale-Range"]
        self.check(said == window.said(), (route, parameters), said, window.said())
        return answer, window

    def is_ranked(self, window: Window, about: About) -> bool:
        (by,) = about.formulas
        kept = self.distinct if self.names_visitors(about) else None
        return self.answers.is_ranked(by, about.pk, about.path, self.calendar.stored(window, kept))

    def names_visitors(self, about: About) -> bool:
        """Whether distinct names are asked, which are kept otherwise."""
        return any("visitors" in formula for formula in about.formulas) and self.answers.was_counted(
            "visitors", about.pk
        )

    def check(self, is_right: bool, asked: Any, answered: Any, expected: Any) -> None:
        if is_right:
            return
        now, hits = datetime.fromtimestamp(self.now, UTC), sorted(self.hits, key=lambda hit: hit.at)
        lines = [f"{datetime.fromtimestamp(hit.at, UTC)} {hit.pk} {hit.dimensions} {hit.metrics}" for hit in hits]
        account = f"{self.zone}, weeks from {self.settings.week_starts}, kept {self.settings.periods}"
        told = [
            f"seed {self.seed}, now {now}",
            account,
            f"asked    {asked}",
            f"answered {answered}",
            f"expected {expected}",
        ]
        raise AssertionError("\n".join([*told, "counted", *lines]))

    def series(self, asked: Asked, about: About, found: list[tuple[int, Any]], window: Window) -> None:
        """Checks the points of one formula: seconds, and a number."""
        (formula,) = about.formulas
        wanted = [(start, *self.values(about, start, end)) for start, end in itertools.pairwise(window.edges)]
        pairs = list(itertools.zip_longest(found, wanted, fillvalue=(0, None)))
        wrong = [pair for pair in pairs if pair[0][0] != pair[1][0] or not alike(formula, pair[0][1], pair[1][1])]
        self.check(not wrong, (asked, about), [each for each, _ in wrong[:5]], [each for _, each in wrong[:5]])

    def plotpoints(self, asked: Asked, about: About) -> Counter[str]:
        form, names = self.random.choice(("list", "dict")), json.dumps(about.formulas)
        answer, window = self.answer("/plotpoints", asked, about, points_type=form, with_totals="true", metrics=names)
        if window is None:
            return Counter(refusals=1)
        for formula, series in answer.json[about.name].items():
            only = replace(about, formulas=[formula])
            *points, (_, total) = series.items() if form == "dict" else series
            self.series(asked, only, [(int(at) // 1000, value) for at, value in points], window)
            (wanted,) = self.values(only, window.start, window.end)
            self.check(alike(formula, total, wanted), ("the total", asked, only), total, wanted)
            if formula in SUMS:
                added = math.fsum(value for _, value in points)
                self.check(alike(formula, total, added), ("the sum of points", asked, only), total, added)
        many = len(about.formulas)
        return Counter(points=many, numbers=many, ranges=1, laws=len(SUMS.intersection(about.formulas)))

    def dataset(self, asked: Asked, about: About) -> Counter[str]:
        about = replace(about, formulas=about.formulas[:1])
        answer, window = self.answer("/dataset", asked, about, value=about.formulas[0])
        if window is None:
            return Counter(refusals=1)
        points = [(int(datetime.fromisoformat(text).timestamp()), value) for text, value in answer.json]
        self.series(asked, about, points, window)
        return Counter(points=1, ranges=1)

    def totals(self, asked: Asked, about: About) -> Counter[str]:
        answer, window = self.answer("/totals", asked, about, metrics=json.dumps(about.formulas))
        if window is None:
            return Counter(refusals=1)
        (rows,) = answer.json.values()
        wanted = self.values(about, window.start, window.end)
        self.check(all(map(alike, about.formulas, rows[about.name].values(), wanted)), (asked, about), rows, wanted)
        return Counter(numbers=len(wanted), ranges=1)

    def several(self, asked: Asked, about: About) -> Counter[str]:
        """Two periods at once: both are answered, or none."""
        other = question(self.random, self.zone, self.now)
        periods = [str(each.period) for each in (asked, other)]
        if "None" in periods or periods[0] == periods[1]:
            return Counter()
        windows = [self.window(replace(asked, period=period), about) for period in periods]
        joined = ",".join(periods) if self.random.random() < 0.5 else json.dumps(periods)
        parameters = (
            about.parameters() | asked.parameters() | {"metrics": json.dumps(about.formulas), "periods": joined}
        )
        del parameters["period"]
        answer = got(self.app, "/totals", parameters)
        refused = [window for window in windows if isinstance(window, Refused)]
        self.check((answer.status == 400) == bool(refused), parameters, answer.text[:300], windows)
        if refused:
            codes = set().union(*(each.codes for each in refused))
            self.check(answer.json["code"] in codes, parameters, answer.text[:300], codes)
            return Counter(refusals=1)
        named = [
            (period, window) for period, window in zip(periods, windows, strict=True) if isinstance(window, Window)
        ]
        said = ", ".join(f"{quote(period, safe='')}={window.said()}" for period, window in named)
        self.check(answer.headers["X-Whale-Range"] == said, parameters, answer.headers["X-Whale-Range"], said)
        for period, window in named:
            rows, wanted = answer.json[period][about.name], self.values(about, window.start, window.end)
            self.check(all(map(alike, about.formulas, rows.values(), wanted)), (period, parameters), rows, wanted)
        return Counter(numbers=2 * len(about.formulas), ranges=2)

    def compared(self, asked: Asked, about: About) -> Counter[str]:
        """Two totals: each is that of the range which the answer names; of a period that is over the range is all of it."""
        more = {"metrics": json.dumps(about.formulas), "compare": self.random.choice(("previous", "last_year"))}
        parameters = about.parameters() | asked.parameters() | more
        plain = replace(about, formulas=["hits"])  # a period that is cut may have visitors where all of it has not
        answer, window = got(self.app, "/totals", parameters), self.window(asked, plain, is_ahead=False)
        if answer.status == 400 or isinstance(window, Refused):
            self.check(answer.status == 400, parameters, answer.text[:300], window)
            return Counter()  # whether the other period is kept, the oracle does not say
        (found,) = answer.json.values()
        said, rows = found["compared"], found["paths"][about.name]
        both = [(said[side]["start"], said[side]["end"]) for side in ("now", "before")]
        ranges = [tuple(int(datetime.fromisoformat(at).timestamp()) for at in edges) for edges in both]
        is_over, (start, end) = window.end <= self.now, ranges[0]
        is_right = start == window.start and said["complete"] == is_over
        is_right = is_right and (end == window.end if is_over else start <= end <= self.now)
        self.check(is_right, parameters, said, window.said())
        for side, edges in zip(("now", "before"), ranges, strict=True):
            values, wanted = [row[side] for row in rows.values()], self.values(about, *edges)
            self.check(all(map(alike, about.formulas, values, wanted)), (side, parameters), found, wanted)
        return Counter(numbers=2 * len(about.formulas))

    def total(self, asked: Asked, about: About) -> Counter[str]:
        """Of all buckets, or of one; now, or as if it were asked then."""
        random, more = self.random, dict[str, str]()
        about = replace(about, formulas=about.formulas[:1])
        if random.random() < 0.3:
            ago = int(random.choice((MINUTE, DAY, 40 * DAY)) * random.random())
            more["at"] = str(random.choice((*spellings(self.now - ago), *spellings(self.now - ago), *NO_TIMES)))
        index = random.choice((None, None, 0, -1))
        if index is not None:
            more["index"] = str(index)
        answer, window = self.answer("/total", asked, about, metric=about.formulas[0], **more)
        if window is None:
            return Counter(refusals=1)
        edges = {None: (window.start, window.end), 0: window.edges[:2], -1: window.edges[-2:]}[index]
        (wanted,) = self.values(about, *edges)
        self.check(alike(about.formulas[0], answer.json, wanted), (asked, about, more), answer.json, wanted)
        return Counter(numbers=1, ranges=1)

    def rank(self, asked: Asked, about: About) -> Counter[str]:
        """Over nothing a rank says null."""
        about = replace(about, formulas=about.formulas[:1], nothing=None)
        answer, window = self.answer("/rank", asked, about, by=about.formulas[0], limit="0")
        (by,) = about.formulas
        if window is None:
            return Counter(refusals=1)
        children = self.answers.children(about.pk, about.path)
        wanted = {
            name_of(path): self.values(replace(about, path=path), window.start, window.end)[0] for path in children
        }
        found = {row["path"]: row["value"] for row in answer.json["rows"]}
        is_right = found.keys() == wanted.keys() and all(alike(by, found[name], wanted[name]) for name in wanted)
        self.check(is_right, ("/rank", asked, about), found, wanted)
        order = [math.inf if value is None else -value for value in found.values()]
        self.check(order == sorted(order), ("/rank", asked, about), found, "the largest first, null last")
        total, (whole,) = answer.json["total"]["value"], self.values(about, window.start, window.end)
        self.check(alike(by, total, whole), ("/rank, the total", asked, about), total, whole)
        return Counter(numbers=1 + len(wanted), ranges=1)

    def library(self, asked: Asked, about: About) -> Counter[str]:
        """`Whale.total`, where weeks begin as the setting or the period says."""
        about, asked = replace(about, formulas=about.formulas[:1]), replace(asked, week=None)
        period: Any = asked.period
        if asked.start is not None:
            period = Span(asked.start, asked.finish, asked.interval or "day", asked.buckets)
        undefined, path = about.parameters()["undefined"], list(about.path) or None
        more: dict[str, Any] = {"undefined": undefined, "tz": asked.tz, "tzoffset": asked.tzoffset}
        window, code, total = self.window(asked, about), "", None
        try:
            total = self.whale.total(about.pk, about.formulas[0], path, period, **more)
        except CallerError as error:
            code = error.code
        if isinstance(window, Refused):
            self.check(code in window.codes, ("total()", asked, about), code, window.codes)
            return Counter(refusals=1)
        (wanted,) = self.values(about, window.start, window.end)
        self.check(
            not code and alike(about.formulas[0], total, wanted),
            ("total()", asked, about),
            code or total,
            (wanted, window.said()),
        )
        return Counter(numbers=1)


def got(app: Any, route: str, parameters: dict[str, str]) -> Answer:
    return call(app, "GET", route, parameters)


def posted(app: Any, route: str, parameters: dict[str, str]) -> Answer:
    form = urlencode(parameters).encode()
    return call(app, "POST", route, body=form, CONTENT_TYPE="application/x-www-form-urlencoded")


def name_of(path: Path) -> str:
    """As answers name a path."""
    return "_" if not path else path[0] if len(path) == 1 else json.dumps(path)


def texts(given: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}


def alike(formula: str, found: Any, wanted: Any) -> bool:
    """The same number: of a quantile within its 1 %."""
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=0.0101 if formula.startswith("p") else 1e-12, abs_tol=1e-9)


def spellings(at: float) -> list[Any]:
    """A time in whole milliseconds, as a hit may have it."""
    ms, when = round(at * 1000), datetime.fromtimestamp(at, UTC)
    numbers = [at, ms, ms * 1000, f"{at:.3f}", f"{ms}", f"{ms}000"]
    elsewhere = [when, when.replace(tzinfo=None), when.astimezone(clock_of("+05:45"))]
    found = [*numbers, *(each.isoformat() for each in elsewhere), when.isoformat().replace("+00:00", "Z")]
    if ms % 1000 == 0:
        found += [int(at), f"{int(at)}", f"{when:{CTIME}}", f"{when:%Y%m%dT%H%M%S}"]
    if ms % 86_400_000 == 0:
        found += [f"{when:%Y-%m-%d}", *(f"{when:%Y%m%d}", int(f"{when:%Y%m%d}"), float(f"{when:%Y%m%d}")) * 3]
    return found
