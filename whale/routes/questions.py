"""Routes of questions: series, totals, ranks, what explains a change, names, and the last hits. Each reads, and never writes.

    what is asked ── parse ──> questions, ranges ── answer ──> numbers ── encode ──> JSON, with what it rests on

`explain` tells these steps and their times, as whale/answer/explain.py keeps them.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import repeat
from typing import Any

import bottle
import msgspec

from hail.hit import lenient
from whale.answer import series, sheets
from whale.answer.adjusted import Adjusted
from whale.answer.adjusted import header as adjusted_text
from whale.answer.asking import Asking
from whale.answer.explain import Watch, iso, minute_text
from whale.answer.inquiry import Answer, Basis, Inquiry
from whale.answer.listed import listed, percent_encoded
from whale.answer.pictured import LOOKS, fresh_s, look_of, pictured
from whale.answer.series import Plot, Question
from whale.answer.shapes import Shape, flot_json, labels, overflow_text
from whale.answer.sheets import Plotted, Sheet
from whale.answer.unknown import Unknowns, unknown_header, unknown_of
from whale.dimension import paths_asked, pk_asked, pk_text
from whale.errors import CallerError
from whale.period import Range, interval_name
from whale.routes.asked import (
    DatasetAsked,
    FactorsAsked,
    MetricsAsked,
    PkCounted,
    PksAsked,
    PlotAsked,
    PlotpointsAsked,
    RankAsked,
    ShiftsAsked,
    SpyAsked,
    SubdimensionsAsked,
    Subject,
    TotalAsked,
    TotalsAsked,
)
from whale.routes.door import OfCaller
from whale.routes.parameters import object_of, period_of, periods_of, pks_of, subject, typed
from whale.routes.remembered import Remembered
from whale.routes.responses import EXPOSED, as_file, json_answer, sheet_answer

OF_PICTURES = {
    "Content-Type": "image/svg+xml; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""Headers. Pages of other sites may show a picture; only those that may read it see its bytes."""


class QuestionRoutes(OfCaller):
    """For many threads."""

    @property
    def _asking(self) -> Asking:
        return self._whale.asking

    def add_to(self, app: bottle.Bottle) -> None:
        remembering = Remembered(self._door, self._door.clock).remembering
        questions: list[tuple[type[msgspec.Struct], Callable[..., Any]]] = [
            (PlotpointsAsked, remembering(self.plotpoints, period_of)),
            (TotalsAsked, remembering(self.totals, periods_of)),
            (TotalAsked, remembering(self.total, period_of)),
            (RankAsked, remembering(self.rank, period_of)),
            (DatasetAsked, self.dataset),
            (FactorsAsked, self.factors),
            (ShiftsAsked, self.shifts),
            (SubdimensionsAsked, self.subdimensions),
            (PksAsked, self.pks),
            (MetricsAsked, self.metrics_of),
            (SpyAsked, self.spy),
        ]
        for kind, answer in questions:
            rule = f"/{answer.__name__}"
            self._door.add(app, rule, ["GET", "POST"], answer, kind)
            self._door.add_options(app, rule)
        self._door.add(app, "/metrics_of", ["PUT"], self.declare_metrics)
        self._door.add(app, "/plot.svg", ["GET"], self.plot_svg, PlotAsked)
        self._door.add_options(app, "/plot.svg")

    # series

    def plotpoints(self, asked: PlotpointsAsked) -> Any:
        now, asking, watch = self._begin(asked)
        questions = [
            asking.question(
                pk,
                **subject(asked),
                depth=asked.depth,
                sort=asked.sort or None,
                limit=asked.limit,
                undefined=asked.undefined,
            )
            for pk in pks_of(asked)
        ]
        inquiries = self._inquiries(asking, watch, asked, questions, self._range_named(asking, asked, now), now)
        shape = Shape(
            asked.flot_time, list if asked.points_type == "list" else dict, asked.descending, asked.with_totals
        )
        answers = [inquiry.plotpoints() for inquiry in inquiries]

        def body() -> bytes:
            return _by_pk(asked, answers, map(_plot_json, inquiries, answers, repeat(shape)))

        def sheet() -> Sheet:
            return sheets.of_series(_plotted(asked.compare, inquiries, answers), asked.descending, asked.with_totals)

        return self._answer(watch, asked, now, answers, body, sheet)

    def dataset(self, asked: DatasetAsked) -> Any:
        now, asking, watch = self._begin(asked)
        pk = lenient("pk", asked.pk or self._door.settings.default_table)
        dimensions = typed("dimensions", asked.dimensions or asked.dimension)
        more = {"depth": asked.depth, "undefined": asked.undefined}
        question = asking.single(pk, dimensions, asked.value or "hits", "value", **more)
        begin = asking.moment(asked.start_at or None, "start_at")
        (inquiry,) = self._inquiries(
            asking, watch, asked, [question], self._range_named(asking, asked, now, begin), now
        )
        if asked.format == "json":
            return self._answer(watch, asked, now, [inquiry.dataset(datetime.isoformat)])
        answers = [inquiry.plotpoints()]

        def sheet() -> Sheet:
            return sheets.of_series(_plotted("", [inquiry], answers), has_parent=not asked.depth)

        return self._answer(watch, asked, now, answers, sheet=sheet)

    def plot_svg(self, asked: PlotAsked) -> Any:
        look = look_of(*(getattr(asked, name) for name in LOOKS))
        now, asking, watch = self._begin(asked)
        pk = lenient("pk", asked.pk) or None
        question = asking.question(pk, **subject(asked), depth=asked.depth, limit=asked.limit, undefined="null")
        ranges = self._range_named(asking, asked, now)
        (inquiry,) = self._inquiries(asking, watch, asked, [question], ranges, now)
        answer = inquiry.plotpoints()

        def body() -> bytes:
            return pictured(inquiry, answer, look).encode()

        found = self._answer(watch, asked, now, [answer], body)
        (period,) = ranges.values()
        whose = "private" if self._door.access.locked or self._door.is_known else "public"
        found.headers["Cache-Control"] = f"{whose}, max-age={fresh_s(period, now)}"
        for name, value in OF_PICTURES.items():
            found.headers[name] = value
        return found

    # totals

    def totals(self, asked: TotalsAsked) -> Any:
        now, asking, watch = self._begin(asked)
        questions = [asking.question(pk, **subject(asked), undefined=asked.undefined) for pk in pks_of(asked)]
        periods, field = periods_of(asked), "periods" if asked.periods else "period"
        ranges = asking.ranges_of(periods, asked.tz, asked.tzoffset, at=now, week=asked.week, field=field)
        inquiries = self._inquiries(asking, watch, asked, questions, ranges, now, is_each_asked=periods is not None)
        answers = [inquiry.totals() for inquiry in inquiries]

        def sheet() -> Sheet:
            rows = {pk_text(answer.basis.question.pk): answer.rows for answer in answers}
            return sheets.of_totals(rows, answers[0].basis.ranges, asked.compare)

        return self._answer(watch, asked, now, answers, sheet=sheet)

    def total(self, asked: TotalAsked) -> Any:
        now, asking, watch = self._begin(asked)
        pk, path = lenient("pk", asked.pk), typed("dimensions", asked.dimensions or asked.dimension)
        question = asking.single(pk, path, asked.metric or "hits", "metric", undefined=asked.undefined)
        then = asking.moment(asked.at or None, "at")
        then = now if then is None else then
        (inquiry,) = self._inquiries(asking, watch, asked, [question], self._range_named(asking, asked, then), then)
        return self._answer(watch, asked, now, [inquiry.total(asked.index)])

    # what is more, and why

    def rank(self, asked: RankAsked) -> Any:
        now, asking, watch = self._begin(asked)
        question, ranking = asking.ranking(
            lenient("pk", asked.pk),
            asked.by or "hits",
            typed("dimensions", asked.dimensions or asked.dimension),
            typed("columns", asked.columns),
            limit=asked.limit,
            offset=asked.offset,
            threshold=asked.threshold,
            min_support=asked.min_support,
            order=asked.order,
            ascending=asked.ascending,
            recursive=asked.all,
            pks=asked.pks,
        )
        ranges = self._range_named(asking, asked, now)
        (inquiry,) = self._inquiries(asking, watch, asked, [question], ranges, now, fields=ranking.fields)
        answer = inquiry.rank(ranking, asked.series)

        def sheet() -> Sheet:
            (period, *_) = answer.basis.ranges.values()
            return sheets.of_rank(answer.rows, ranking.by, ranking.columns, period, asked.compare)

        return self._answer(watch, asked, now, [answer], sheet=sheet)

    def factors(self, asked: FactorsAsked) -> Any:
        now, asking, watch = self._begin(asked)
        inquiry = asking.change(
            lenient("pk", asked.pk),
            asked.metric or "hits",
            period_of(asked),
            asked.compare,
            asked.against,
            asked.tz,
            asked.tzoffset,
            week=asked.week,
            store=watch.store,
            paths=_naming(asked),
        )
        dimensions = typed("dimensions", asked.dimensions or asked.dimension)
        paths = asking.dimensions(inquiry.question.pk, dimensions)
        watch.stage("parse")
        answer = inquiry.factors(paths, asked.depth, asked.limit)
        return self._answer(watch, asked, now, [answer], sheet=lambda: sheets.of_factors(answer.rows))

    def shifts(self, asked: ShiftsAsked) -> Any:
        now, asking, watch = self._begin(asked)
        question = asking.shifts(lenient("pk", asked.pk), asked.metric or "hits", typed("cost", asked.cost))
        paths = asking.dimensions(question.pk, typed("dimensions", asked.dimensions or asked.dimension))
        ranges = self._range_named(asking, asked, now)
        (inquiry,) = self._inquiries(asking, watch, asked, [question], ranges, now)
        answer = inquiry.shifts(paths, asked.depth, asked.limit)
        return self._answer(watch, asked, now, [answer], sheet=lambda: sheets.of_shifts(answer.rows))

    # names, and the last hits

    def subdimensions(self, asked: SubdimensionsAsked) -> Any:
        pk, path = lenient("pk", asked.pk), typed("dimensions", asked.dimensions or asked.dimension)
        all_, some = self._whale.all_subdimensions, self._whale.get_subdimensions
        named = {"paths": _naming(asked)}
        found = all_(pk, path, **named) if asked.all else some(pk, path, depth=asked.depth, **named)
        rows = self._asking.unknown(pk_asked(pk), paths_asked(path))
        return _named(asked, "path", found, unknown_header(Unknowns(rows)))

    def pks(self, asked: PksAsked) -> Any:
        some = asked.prefix, asked.limit, asked.offset, asked.counts
        rows, more = self._asking.now().pks(typed("pk", asked.pk), *some, asked.tz, asked.tzoffset)
        headers = {"X-Whale-More": str(more)} if more else {}
        if asked.counts:
            told = [PkCounted(pk=pk_text(row.pk), hits_today=row.hits_today, last_seen=row.last_seen) for row in rows]
            return _named(asked, "pk", told, headers)
        return _named(asked, "pk", [pk_text(pk) for pk in rows], headers)

    def metrics_of(self, asked: MetricsAsked) -> Any:
        pk = lenient("pk", asked.pk)
        found = self._whale.metrics_of(pk, asked.info, tz=asked.tz, tzoffset=asked.tzoffset)
        rows = self._asking.unknown(pk_asked(pk))
        return _named(asked, "name", found, unknown_header(Unknowns(rows)))

    def declare_metrics(self) -> Any:
        given = object_of(self._door.body(), "a pk and its metrics")
        for field in sorted(given.keys() - {"pk", "metrics"}):
            raise CallerError("is not a field here: expected pk, metrics", ascii(field)[1:-1])
        self._door.check_pk(given.get("pk"))
        found = self._whale.declare_metrics(given.get("pk"), given.get("metrics"))
        rows = self._asking.unknown(pk_asked(given["pk"]), metrics=list(given["metrics"]))
        return json_answer(found, headers=unknown_header(Unknowns(rows)))

    def spy(self, asked: SpyAsked) -> Any:
        return json_answer(self._whale.get_spy(asked.visitor or None, asked.limit))

    # what they share

    def _begin(self, asked: Any) -> tuple[float, Asking, Watch]:
        """The moment of a question, what reads it at that moment, and what watches its steps."""
        if asked.explain and getattr(asked, "format", "") == "csv":
            raise CallerError("cannot be combined with format=csv: ask for one of them", "explain")
        asking = self._asking.now()
        return asking.clock(), asking, Watch(asking.store, asked.explain)

    def _range_named(self, asking: Asking, asked: Any, at: float, start_at: float | None = None) -> dict[str, Range]:
        zone = asked.tz, asked.tzoffset
        return asking.range_named(period_of(asked), *zone, at=at, start_at=start_at, week=asked.week)

    def _inquiries(
        self,
        asking: Asking,
        watch: Watch,
        asked: Any,
        questions: Sequence[Question],
        ranges: Mapping[str, Range],
        at: float,
        **more: Any,
    ) -> list[Inquiry]:
        """Of each question, which all share what one answer may cost. more: of Asking.inquiry."""
        more |= {"paths": _naming(asked), "store": watch.store, "bounds": asking.bounds.shared(len(questions))}
        word = getattr(asked, "compare", None)
        inquiries = [asking.inquiry(question, ranges, word, at=at, **more) for question in questions]
        watch.stage("parse")
        return inquiries

    def _answer(
        self,
        watch: Watch,
        asked: Any,
        now: float,
        answers: Sequence[Answer[Any]],
        body: Callable[[], bytes] | None = None,
        sheet: Callable[[], Sheet] | None = None,
    ) -> Any:
        """Answers, of each pk one, with what they rest on: a cache asks again while the last bucket is open.

        body: writes them as JSON; default: their rows.  sheet: they as a table, for another format.
        """
        watch.stage("answer")
        bases = [answer.basis for answer in answers]
        ranges = bases[0].ranges
        marked = [basis.adjusted for basis in bases]
        watch.stage("read")
        form = asked.format if sheet else "json"
        if sheet and form != "json":
            content = sheet().written(form)
        else:
            content = body() if body else _by_pk(asked, answers, (msgspec.json.encode(each.rows) for each in answers))
        watch.stage("encode")
        if asked.explain:
            content = _explained(content, watch, ranges, marked, now)
        headers = {
            **EXPOSED,
            "Content-Type": sheets.FORMATS.get(form, "application/json"),
            "Cache-Control": "no-cache",  # a hit may come late, to a bucket that has ended
            "ETag": f'"{hashlib.sha256(content).hexdigest()[:24]}"',
            "X-Whale-As-Of": iso(int(now)),
            "X-Whale-Complete": "true" if now >= max((each.end for each in ranges.values()), default=0) else "false",
        }
        if form == "csv":
            headers |= as_file()
        if ranges:
            headers["X-Whale-Range"] = _ranges_text(ranges)
        questions = [basis.question for basis in bases]
        headers |= unknown_header(unknown_of(watch.store, questions))
        if any(basis.more for basis in bases):
            headers["X-Whale-More"] = _more_text(bases)
        if text := adjusted_text(each for of_ranges in marked for each in of_ranges.values()):
            headers["X-Adjusted"] = text
        lacking = [basis.overflowed() for basis in bases]
        if any(cells is None or cells for cells in lacking):
            headers["X-Whale-Overflow"] = overflow_text(lacking)
        errors = {name: error for one in questions for name, error in series.estimates(watch.store, one).items()}
        if errors:
            rows = (f"{percent_encoded(name)};error={error * 100:g}%" for name, error in errors.items())
            headers["X-Whale-Estimated"] = listed(rows)
        return bottle.HTTPResponse(content, 200, headers)


def _more_text(bases: Sequence[Basis]) -> str:
    """How many rows were left out; where several pks were asked each with its name before it."""
    if len(bases) == 1:
        return str(bases[0].more)
    return listed(f"{percent_encoded(pk_text(basis.question.pk))}={basis.more}" for basis in bases if basis.more)


def _ranges_text(ranges: Mapping[str, Range]) -> str:
    """What was read: `2026-11-19T00:00Z/2026-11-26T00:00Z;by=1d;points=7`; of several periods each with its name before it."""
    if len(ranges) == 1:
        return _range_text(next(iter(ranges.values())))
    return listed(f"{percent_encoded(name)}={_range_text(period)}" for name, period in ranges.items())


@lru_cache(maxsize=256)
def _range_text(period: Range) -> str:
    between = f"{minute_text(period.start)}/{minute_text(period.end)}"
    return f"{between};by={interval_name(period.interval)};points={len(period.starts)}"


def _named(asked: Any, column: str, found: Sequence[Any], headers: Mapping[str, str]) -> Any:
    """Names, or what is known of each, as JSON or as a table. column: what they are."""
    if asked.format == "json":
        return json_answer(found, headers=headers)
    return sheet_answer(sheets.of_names(column, found), asked.format, headers)


def _naming(asked: Any) -> str:
    """How the answer names paths; a table always by text."""
    return "text" if getattr(asked, "format", "json") != "json" else str(getattr(asked, "paths", "text"))


def _plotted(word: str, inquiries: Sequence[Inquiry], answers: Sequence[Answer[list[Plot]]]) -> list[Plotted]:
    """word: what they are compared with, or empty."""
    periods = [next(iter(answer.basis.reads.values())) for answer in answers]
    return [
        Plotted(inquiry.question, period, answer.rows, word)
        for inquiry, period, answer in zip(inquiries, periods, answers, strict=True)
    ]


def _plot_json(inquiry: Inquiry, answer: Answer[list[Plot]], shape: Shape) -> bytes:
    if inquiry.comparisons is None and shape.points_type is list:
        (plot,), (period,) = answer.rows, inquiry.ranges.values()
        rows = ((inquiry.naming(row.path), row.values, row.totals) for row in plot.series)
        names = labels(period, plot.starts, shape.flot_time)
        return flot_json(rows, names, shape.descending, shape.with_totals, inquiry.is_listed)
    return msgspec.json.encode(inquiry.labelled(answer, shape))


def _by_pk(asked: Any, answers: Sequence[Answer[Any]], bodies: Iterable[bytes]) -> bytes:
    """The one answer; or {pk: answer} where several pks were asked, listed [{"pk", "answer"}, ...]."""
    if not isinstance(asked, Subject) or not asked.pks:
        return next(iter(bodies))
    pks = [answer.basis.question.pk for answer in answers]
    if _naming(asked) == "list":
        rows = [
            b'{"pk":%b,"answer":%b}' % (msgspec.json.encode(pk), body) for pk, body in zip(pks, bodies, strict=True)
        ]
        return b"[%b]" % b",".join(rows)
    names = [msgspec.json.encode(pk_text(pk)) for pk in pks]
    return b"{" + b",".join(name + b":" + body for name, body in zip(names, bodies, strict=True)) + b"}"


def _explained(
    answer: bytes, watch: Watch, ranges: Mapping[str, Range], marked: Sequence[Mapping[str, Adjusted]], now: float
) -> bytes:
    """{answer, explain}. marked: what was set, of each question by range."""
    said = watch.said(dict(ranges), now)
    for name, row in said["ranges"].items():
        if rows := [each for of_ranges in marked if name in of_ranges for each in of_ranges[name].said()]:
            row["adjusted"] = rows
    return b'{"answer":' + answer + b',"explain":' + msgspec.json.encode(said) + b"}"
