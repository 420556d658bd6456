"""Routes of questions: series, totals, ranks, what explains a change, names, and the last hits. Each reads, and never writes.

    what is asked ── parse ──> questions, ranges ── answer ──> numbers ── encode ──> JSON, with what it rests on

`explain` tells these steps and their times, as whale/answer/explain.py keeps them.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import bottle
import msgspec

from hail.hit import lenient
from whale.answer import series
from whale.answer.adjusted import Adjusted, adjusted
from whale.answer.adjusted import header as adjusted_text
from whale.answer.compare import Comparison
from whale.answer.explain import Watch, iso, minute_text
from whale.answer.listed import listed, percent_encoded
from whale.answer.rank import rank, shown
from whale.answer.series import Plot, Question
from whale.answer.shapes import flot_json, labels, overflow_text, path_below, points, times
from whale.answer.unknown import Unknowns, unknown_header, unknown_names, unknown_of
from whale.client import Whale
from whale.dimension import path_text, paths_asked, pk_asked, pk_text
from whale.period import Range, interval_name
from whale.routes.asked import (
    DatasetAsked,
    FactorsAsked,
    MetricsAsked,
    PksAsked,
    PlotpointsAsked,
    RankAsked,
    SpyAsked,
    SubdimensionsAsked,
    Subject,
    TotalAsked,
    TotalsAsked,
)
from whale.routes.door import Door
from whale.routes.parameters import period_of, periods_of, pks_of, subject, typed
from whale.routes.remembered import Remembered
from whale.routes.responses import EXPOSED, json_answer


class QuestionRoutes:
    """For many threads."""

    def __init__(self, door: Door, whale: Whale):
        self._door, self._whale = door, whale

    def add_to(self, app: bottle.Bottle) -> None:
        remembering = Remembered(self._door, self._whale).remembering
        questions: list[tuple[type[msgspec.Struct], Callable[..., Any]]] = [
            (PlotpointsAsked, remembering(self.plotpoints, period_of)),
            (TotalsAsked, remembering(self.totals, periods_of)),
            (TotalAsked, remembering(self.total, period_of)),
            (RankAsked, remembering(self.rank, period_of)),
            (DatasetAsked, self.dataset),
            (FactorsAsked, self.factors),
            (SubdimensionsAsked, self.subdimensions),
            (PksAsked, self.pks),
            (MetricsAsked, self.metrics_of),
            (SpyAsked, self.spy),
        ]
        for kind, answer in questions:
            rule = f"/{answer.__name__}"
            self._door.add(app, rule, ["GET", "POST"], answer, kind)
            self._door.add_options(app, rule)

    # series

    def plotpoints(self, asked: PlotpointsAsked) -> Any:
        now, watch = self._begin(asked)
        questions = [
            self._whale.question(
                pk,
                **subject(asked),
                depth=asked.depth,
                sort=asked.sort or None,
                limit=asked.limit,
                undefined=asked.undefined,
            )
            for pk in pks_of(asked)
        ]
        period = self._range_of(asked, now)
        ranges = {_period_name(asked): period}
        comparisons = [self._compared(watch, question, ranges, asked.compare, True, now) for question in questions]
        watch.stage("parse")
        share = self._whale.bounds.shared(len(questions))
        if asked.compare:
            shape = partial(_shaped, asked, period)
            both = [
                self._whale.compared_plotpoints(question, comparison, watch.store, share, shape)
                for question, each in zip(questions, comparisons, strict=True)
                for comparison in each.values()
            ]
            ranges, reads = _both_ranges(comparisons[0]), _read(comparisons[0])
            more = [each["paths"].more for each in both]
            return self._answer(
                watch,
                asked,
                questions,
                ranges,
                now,
                lambda: _by_pk(asked, questions, _encoded(both)),
                more=more,
                reads=reads,
            )
        plots = [series.plotpoints(watch.store, question, period, share) for question in questions]

        def body() -> bytes:
            return _by_pk(asked, questions, [_plot_json(asked, period, plot) for plot in plots])

        return self._answer(watch, asked, questions, ranges, now, body, more=[plot.more for plot in plots])

    def dataset(self, asked: DatasetAsked) -> Any:
        now, watch = self._begin(asked)
        value = asked.value or "hits"
        pk = lenient("pk", asked.pk or self._door.settings.default_table)
        dimensions = typed("dimensions", asked.dimensions or asked.dimension)
        question = self._whale.single(pk, dimensions, value, "value", depth=asked.depth, undefined=asked.undefined)
        period = self._range_of(asked, now, self._whale.moment(asked.start_at or None, "start_at"))
        watch.stage("parse")
        plot = series.plotpoints(watch.store, question, period, self._whale.bounds)

        def body() -> bytes:
            names = [when.isoformat() for when in times(period, plot.starts)]
            above = question.paths[0]
            rows = {row.path: list(zip(names, row.values[value], strict=True)) for row in plot.series}
            if not asked.depth:
                return msgspec.json.encode(rows[above])
            return msgspec.json.encode({path_below(path, above): row for path, row in rows.items() if path != above})

        return self._answer(watch, asked, [question], {_period_name(asked): period}, now, body)

    # totals

    def totals(self, asked: TotalsAsked) -> Any:
        now, watch = self._begin(asked)
        questions = [self._whale.question(pk, **subject(asked), undefined=asked.undefined) for pk in pks_of(asked)]
        periods = periods_of(asked)
        named = "periods" if asked.periods else "period"
        ranges = self._whale.ranges_of(periods, asked.tz, asked.tzoffset, at=now, week=asked.week, field=named)
        is_each_asked = periods is not None
        comparisons = [
            self._compared(watch, question, ranges, asked.compare, is_each_asked, now) for question in questions
        ]
        watch.stage("parse")
        share = self._whale.bounds.shared(len(questions))
        found: list[Any] = []
        reads: list[Range] = []
        if asked.compare:
            for question, each in zip(questions, comparisons, strict=True):
                found.append(self._whale.compared_totals(question, each, watch.store, share))
            ranges, reads = _both_ranges(comparisons[0]), _read(comparisons[0])
        else:
            for question in questions:
                rows_of = series.totals_of(watch.store, question, ranges, share, is_each_asked)
                found.append(
                    {name: {path_text(row.path): row.totals for row in rows} for name, rows in rows_of.items()}
                )
        return self._answer(
            watch, asked, questions, ranges, now, lambda: _by_pk(asked, questions, _encoded(found)), reads=reads
        )

    def total(self, asked: TotalAsked) -> Any:
        now, watch = self._begin(asked)
        pk, path = lenient("pk", asked.pk), typed("dimensions", asked.dimensions or asked.dimension)
        question = self._whale.single(pk, path, asked.metric or "hits", "metric", undefined=asked.undefined)
        then = self._whale.moment(asked.at or None, "at")
        then = now if then is None else then
        period = self._range_of(asked, then)
        ranges = {_period_name(asked): period}
        comparisons = self._compared(watch, question, ranges, asked.compare, True, then)
        watch.stage("parse")
        found: Any
        if comparisons:
            (comparison,) = comparisons.values()
            found = self._whale.compared_total(question, comparison, asked.index, watch.store)
            ranges = _both_ranges(comparisons)
        else:
            found = self._whale.one_total(question, period, asked.index, watch.store)
        reads = _read(comparisons)
        return self._answer(watch, asked, [question], ranges, now, lambda: msgspec.json.encode(found), reads=reads)

    # what is more, and why

    def rank(self, asked: RankAsked) -> Any:
        now, watch = self._begin(asked)
        question, ranking = self._whale.ranking(
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
        period = self._range_of(asked, now)
        ranges = {_period_name(asked): period}
        reads: list[Range] = []
        if asked.compare:
            comparison = self._whale.ranks_compared(question, ranking, period, period_of(asked), asked.compare)
            ranges, reads = _both_ranges(dict.fromkeys(ranges, comparison)), [comparison.now, comparison.before]
            watch.stage("parse")
            said, more = self._whale.compared_rank(question, ranking, comparison, watch.store)
        else:
            watch.stage("parse")
            found = rank(watch.store, question, ranking, period, self._whale.bounds)
            said, more = shown(found, question, ranking, period, now), found.rest_count
            said = self._whale.with_adjusted(said, question, period, watch.store)
        levels = None if asked.all else 1
        return self._answer(
            watch, asked, [question], ranges, now, lambda: msgspec.json.encode(said), levels, [more], reads
        )

    def factors(self, asked: FactorsAsked) -> Any:
        now, watch = self._begin(asked)
        question, comparison = self._whale.factors_asked(
            lenient("pk", asked.pk),
            asked.metric or "hits",
            period_of(asked),
            asked.compare,
            asked.against,
            asked.tz,
            asked.tzoffset,
            asked.week,
        )
        dimensions = self._whale.dimensions_asked(question.pk, typed("dimensions", asked.dimensions or asked.dimension))
        watch.stage("parse")
        found = self._whale.factors_of(question, comparison, dimensions, asked.depth, asked.limit, watch.store)
        ranges = _both_ranges({_period_name(asked): comparison})
        reads = [comparison.now, comparison.before]
        return self._answer(
            watch, asked, [question], ranges, now, lambda: msgspec.json.encode(found), asked.depth, (), reads
        )

    # names, and the last hits

    def subdimensions(self, asked: SubdimensionsAsked) -> Any:
        pk, path = lenient("pk", asked.pk), typed("dimensions", asked.dimensions or asked.dimension)
        all_, some = self._whale.all_subdimensions, self._whale.get_subdimensions
        found = all_(pk, path) if asked.all else some(pk, path, depth=asked.depth)
        rows = unknown_names(self._whale.store, self._whale.account, pk_asked(pk), paths_asked(path))
        return json_answer(found, headers=unknown_header(Unknowns(rows)))

    def pks(self, asked: PksAsked) -> Any:
        return json_answer([pk_text(pk) for pk in self._whale.pks(typed("pk", asked.pk))])

    def metrics_of(self, asked: MetricsAsked) -> Any:
        pk = lenient("pk", asked.pk)
        found = self._whale.metrics_of(pk)
        rows = unknown_names(self._whale.store, self._whale.account, pk_asked(pk))
        return json_answer(found, headers=unknown_header(Unknowns(rows)))

    def spy(self, asked: SpyAsked) -> Any:
        return json_answer(self._whale.get_spy(asked.visitor or None, asked.limit))

    # what they share

    def _begin(self, asked: Any) -> tuple[float, Watch]:
        """The moment of a question, and what watches its steps."""
        return self._whale.clock(), Watch(self._whale.store, asked.explain)

    def _range_of(self, asked: Any, at: float, start_at: float | None = None) -> Range:
        zone = asked.tz, asked.tzoffset
        return self._whale.range_at(at, period_of(asked), *zone, start_at=start_at, week=asked.week)

    def _compared(
        self, watch: Watch, question: Question, ranges: Mapping[str, Range], word: str, is_each_asked: bool, at: float
    ) -> dict[str, Comparison]:
        """What each period is compared with; nothing where no word asks for it."""
        return self._whale.comparisons(question, ranges, word, is_each_asked, at, watch.store) if word else {}

    def _answer(
        self,
        watch: Watch,
        asked: Any,
        questions: Sequence[Question],
        ranges: Mapping[str, Range],
        now: float,
        body: Callable[[], bytes],
        levels: int | None = 0,
        more: Sequence[int] = (),
        reads: Sequence[Range] = (),
    ) -> Any:
        """An answer with what it rests on: a cache asks again while its last bucket is open.

        levels: below the paths and the depth of the questions, that were read too; None: all.
        more: of each question, how many rows the limit left out.
        reads: of each range what was read of it, where that is another one.
        """
        watch.stage("answer")
        marked = [adjusted(watch.store, question, reads or list(ranges.values())) for question in questions]
        of_ranges = [list(each) for each in zip(*marked, strict=True)]
        watch.stage("read")
        content = body()
        watch.stage("encode")
        if asked.explain:
            content = _explained(content, watch, ranges, of_ranges, now)
        headers = {
            **EXPOSED,
            "Content-Type": "application/json",
            "Cache-Control": "no-cache",  # a hit may come late, to a bucket that has ended
            "ETag": f'"{hashlib.sha256(content).hexdigest()[:24]}"',
            "X-Whale-As-Of": iso(int(now)),
            "X-Whale-Complete": "true" if now >= max((found.end for found in ranges.values()), default=0) else "false",
        }
        if ranges:
            headers["X-Whale-Range"] = _ranges_text(ranges)
        headers |= unknown_header(unknown_of(watch.store, questions))
        if any(more):
            headers["X-Whale-More"] = _more_text(questions, more)
        if text := adjusted_text(each for some in marked for each in some):
            headers["X-Adjusted"] = text
        lacking = [
            series.overflowed(watch.store, one, ranges.values(), None if levels is None else one.depth + levels)
            for one in questions
        ]
        if any(cells is None or cells for cells in lacking):
            headers["X-Whale-Overflow"] = overflow_text(lacking)
        errors = {name: error for one in questions for name, error in series.estimates(watch.store, one).items()}
        if errors:
            rows = (f"{percent_encoded(name)};error={error * 100:g}%" for name, error in errors.items())
            headers["X-Whale-Estimated"] = listed(rows)
        return bottle.HTTPResponse(content, 200, headers)


def _more_text(questions: Sequence[Question], more: Sequence[int]) -> str:
    """How many rows were left out; where several pks were asked each with its name before it."""
    if len(more) == 1:
        return str(more[0])
    rows = [(pk_text(question.pk), count) for question, count in zip(questions, more, strict=True) if count]
    return listed(f"{percent_encoded(name)}={count}" for name, count in rows)


def _ranges_text(ranges: Mapping[str, Range]) -> str:
    """What was read: `2026-11-19T00:00Z/2026-11-26T00:00Z;by=1d;points=7`; of several periods each with its name before it."""
    if len(ranges) == 1:
        return _range_text(next(iter(ranges.values())))
    return listed(f"{percent_encoded(name)}={_range_text(period)}" for name, period in ranges.items())


@lru_cache(maxsize=256)
def _range_text(period: Range) -> str:
    between = f"{minute_text(period.start)}/{minute_text(period.end)}"
    return f"{between};by={interval_name(period.interval)};points={len(period.starts)}"


def _period_name(asked: Any) -> str:
    return str(period_of(asked) or "thirty")


def _both_ranges(comparisons: Mapping[str, Comparison]) -> dict[str, Range]:
    """What the answer rests on: each period as it was asked, and the other one."""
    return {
        name: period
        for text, each in comparisons.items()
        for name, period in ((text, each.asked), (f"{text} {each.word}", each.before))
    }


def _read(comparisons: Mapping[str, Comparison]) -> list[Range]:
    """Of each of `_both_ranges` what was read."""
    return [period for each in comparisons.values() for period in (each.now, each.before)]


def _shaped(asked: PlotpointsAsked, period: Range, plot: Plot) -> list[tuple[str, dict[str, Any]]]:
    """Each path of a plot, with its points by metric."""
    names = labels(period, plot.starts, asked.flot_time)
    labelled, kind = (names, list) if asked.points_type == "list" else ([str(name) for name in names], dict)
    return [
        (
            path_text(row.path),
            {
                name: points(labelled, values, row.totals[name] if asked.with_totals else ..., kind, asked.descending)
                for name, values in row.values.items()
            },
        )
        for row in plot.series
    ]


def _plot_json(asked: PlotpointsAsked, period: Range, plot: Plot) -> bytes:
    if asked.points_type == "list":
        names = labels(period, plot.starts, asked.flot_time)
        rows = ((path_text(row.path), row.values, row.totals) for row in plot.series)
        return flot_json(rows, names, asked.descending, asked.with_totals)
    return msgspec.json.encode(dict(_shaped(asked, period, plot)))


def _encoded(answers: Iterable[Any]) -> list[bytes]:
    return [msgspec.json.encode(answer) for answer in answers]


def _by_pk(asked: Subject, questions: Sequence[Question], bodies: Sequence[bytes]) -> bytes:
    """The one answer; or {pk: answer} where several pks were asked."""
    if not asked.pks:
        return bodies[0]
    names = [msgspec.json.encode(pk_text(question.pk)) for question in questions]
    return b"{" + b",".join(name + b":" + body for name, body in zip(names, bodies, strict=True)) + b"}"


def _explained(
    answer: bytes, watch: Watch, ranges: Mapping[str, Range], found: Sequence[Sequence[Adjusted]], now: float
) -> bytes:
    """{answer, explain}. found: what was set, of each range and question."""
    said = watch.said(dict(ranges), now)
    for row, of_questions in zip(said["ranges"].values(), found, strict=True):
        if rows := [each for one in of_questions for each in one.said()]:
            row["adjusted"] = rows
    return b'{"answer":' + answer + b',"explain":' + msgspec.json.encode(said) + b"}"
