"""Counting in the library: hits, setting and resetting counts, and the outcome of single hits; a part of Whale, see client.py."""

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hail.hit import Hit, HitError, Reason, name_of, parse_decided, parse_hit, row_of_hit
from hail.pixel import token_of
from hail.problem import HOST
from hail.settings import DAY
from hail.times import came, is_time
from hail.units import Declaration, NotDeclared, declaration_of
from whale.answer.asking import Period, is_pair
from whale.answer.measures import Measure, text_of
from whale.answer.unknown import Unknown
from whale.count.apply import Applier, MergingApplier
from whale.count.direct import Direct
from whale.dimension import Path, pk_asked
from whale.errors import CallerError, PeriodError, Unavailable
from whale.formula import Number, number_of
from whale.library.arguments import hit_given, on_default, one
from whale.library.parts import Parts
from whale.library.questions import Questions
from whale.live import admission
from whale.period import Interval, bucket_start, interval_name, next_start, not_an_interval, width
from whale.plain import plain
from whale.spy import KEPT, shown
from whale.store.contract.changes import Change, not_a_sum

if TYPE_CHECKING:
    from hail.publish import Publisher


class Counting(Questions):
    """Questions, and counting. For many threads."""

    _parts: Parts

    # counting

    @on_default
    def count_now(
        self,
        /,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        at: Any = None,
        *,
        dimension: Any = None,
        metric: Any = None,
        **more: Any,
    ) -> None:
        """Counts one hit at once; more: id, visitor, event, properties, basis.  Raises HitError, Unavailable."""
        self.count_hit(hit_given(pk, one(dimensions, dimension), one(metrics, metric), at, more))

    @on_default
    def count(
        self,
        /,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        at: Any = None,
        *,
        dimension: Any = None,
        metric: Any = None,
        **more: Any,
    ) -> None:
        """Hands one hit to the queue, as Hail does: when this returns it is durable, and counted soon.

        Raises HitError, Unavailable.
        """
        self.count_record(hit_given(pk, one(dimensions, dimension), one(metrics, metric), at, more))

    @on_default
    def count_record(self, record: Mapping[str, Any]) -> None:
        """`count`, of a hit in the form of the HTTP API; with an `option`, of an outcome."""
        from hail.publish import NotAccepted

        parse = parse_decided if "option" in record else parse_hit
        hit = parse(record, self.settings, self.clock())
        try:
            queue, row = self._queue(), row_of_hit(hit)
            queue.check(row)
            queue.publish(self.account, queue.pack((row, hit.cells)))
        except NotAccepted as error:
            taken = "may have taken" if error.reason is Reason.UNCONFIRMED else "did not take"
            raise Unavailable(f"the queue {taken} the hit: {error}") from None

    @on_default
    def count_hit(self, given: Mapping[str, Any]) -> None:
        """`count_now`, of a hit in the form of the HTTP API."""
        now = self.clock()
        hit = parse_hit(given, self.settings, now)
        self._direct_now().count(self.account, [hit], now)

    @on_default
    def pixel(self, pk: Any, dimensions: Any = None, metrics: Any = None) -> str:
        """A token that hides pk, dimensions and metrics. A request of /count.gif?pixel=TOKEN counts them.

        Raises HitError; SettingsError without the setting PIXEL_KEY.
        """
        given = {"pk": pk, "dimensions": dimensions, "metrics": plain(metrics, "metrics", float)}
        return token_of(given, self.settings, self.account)

    # changing

    @on_default
    def update_count_to(
        self,
        /,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        period: Period | bool = None,
        at: Any = None,
        id: Any = None,
        *,
        rank: bool = False,
        dimension: Any = None,
        metric: Any = None,
    ) -> dict[str, Number]:
        """Sets metrics of one path in one bucket; returns what that added, by metric.

        period: the interval to set, which must be kept. Default: days.  at: a time inside the bucket. Default: now.
        id: of this operation. A repeat with the same id changes nothing and returns the same.
        rank: has no effect; accepted for older programs.
        Raises HitError, CallerError, Unavailable; after Unavailable repeat the call with the same id.
        """
        given = hit_given(pk, one(dimensions, dimension), one(metrics, metric), at, {"id": id})
        _refuse_nulls(given["dimensions"], "dimensions", Reason.BAD_DIMENSIONS)
        _refuse_nulls(given["metrics"], "metrics", Reason.BAD_METRICS)
        hit, interval = self._to_set(given), self._interval_to_set(period)
        for name, (kind, _) in (hit.others or {}).items():
            raise not_a_sum(name, kind)
        path: Path = ()
        below = hit.dimensions
        while below:
            if len(below) > 1:
                raise CallerError(f"expected one path, got {len(below)}", "dimensions")
            path = (*path, *below)
            below = next(iter(below.values()))
        named = given["metrics"]
        amounts = dict(hit.metrics)
        if "hits" not in ({named} if isinstance(named, str) else named or ()):
            del amounts["hits"]
        if not amounts:
            raise CallerError('expected metrics to set, such as {"revenue": 5}', "metrics")
        zone = self.store.zone(self.account)
        start = bucket_start(interval, hit.at_ms / 1000, zone)
        end = next_start(interval, start, zone)
        now, wider = self.clock(), {}
        for other, kept in self.settings.periods:
            if kept is not None and next_start(other, bucket_start(other, start, zone), zone) <= now - kept:
                if other == interval:
                    raise PeriodError(f"buckets of {interval_name(interval)} are kept for {kept:g} s", "at")
            elif width(other) > width(interval):
                wider[other] = bucket_start(other, start, zone)
                if wider[other] != bucket_start(other, end - 1, zone):
                    names = interval_name(interval), interval_name(other)
                    raise PeriodError("a bucket of {} that overlaps two of {} cannot be set".format(*names))
        operation = hit.id or secrets.token_hex(16)
        change = Change(operation, hit.pk, path, interval, start, end, amounts, wider)
        return {name: number_of(name, amount) for name, amount in self.store.set(self.account, change, now).items()}

    def _to_set(self, given: Mapping[str, Any]) -> Hit:
        now = self.clock()
        try:
            hit = parse_hit(given, self.settings, now)
        except HitError as error:
            if error.field == "at" and is_time(given["at"]):
                raise HitError(error.reason, "at", f"expected 1900 to now, got {came(given['at'])}") from None
            raise
        if hit.skewed:
            raise CallerError("expected a time that is not in the future", "at")
        return hit

    def _interval_to_set(self, period: Any) -> Interval:
        kept = dict(self.settings.periods)
        if period in (None, False, ""):
            return DAY if DAY in kept else min(kept, key=width)
        interval = self.asking.range_of(period[0] if is_pair(period) else period).interval
        names = {interval_name(each): each for each in kept}
        if not is_pair(period) and (meant := not_an_interval(period)) is not None:
            said = f"expected an interval that is kept, one of {', '.join(names)}, got {ascii(str(period))[:60]}"
            raise PeriodError(
                f"{said}{f': did you mean {meant}? S' if meant in names else '; s'}end the time of the bucket as `at`"
            )
        if interval not in kept:
            raise PeriodError(f"buckets of {interval_name(interval)} are not kept; kept are {', '.join(names)}")
        return interval

    @on_default
    def reset(self, /, pk: Any, dimensions: Any = None, *, dimension: Any = None) -> list[Unknown]:
        """Deletes the counts of a pk and all pks below it; or of one path and the paths below it. Pks and paths above keep their sums.

        Hits that were accepted before and are counted later do not count there. So a pk or path that was never counted, or was
        reset before, is reset as well; it is returned, with a known name beside it.

        Dimensions that mean the root (`_`, an empty text, list or dict, None) delete the whole pk, with all pks below it.
        """
        now, names = self.clock(), pk_asked(pk)
        _refuse_nulls(one(dimensions, dimension), "dimensions", Reason.BAD_DIMENSIONS)
        path = self.asking.one_path(names, one(dimensions, dimension), "dimensions")
        plain = self.settings.replace(bands={})  # a band is named here, not a number
        parse_hit({"pk": list(names), "dimensions": list(path)}, plain, now)  # names within their limits
        self.store.kinds_of(self.account, [names])  # so that names are those of now, not those of a question before
        unknown = self.asking.unknown(names, [path])
        self.store.reset(self.account, names, path or None, now)
        if len(names) == 1 and not path:
            self.store.restart_log(self.account, names[0])
            self.store.forget_talks(self.account, names[0])
        self._direct_now()  # its thread frees the memory, where no worker does
        return unknown

    @on_default
    def declare_metrics(self, pk: Any, metrics: Any) -> list[Measure]:
        """Declares units of metrics of a pk and of the pks below it: {"revenue": {"unit": "money", "currency": "USD", "better": "up"}}.

        None instead of a declaration takes it back; metrics that are not named keep theirs. All or none is declared. A metric need not
        have been counted. Returns what `metrics_of` answers with `info`.
        """
        names = pk_asked(pk)
        parse_hit({"pk": list(names)}, self.settings, self.clock())  # names within their limits
        if not isinstance(metrics, Mapping) or not metrics:
            raise CallerError(f"expected an object of declarations by metric, got {ascii(metrics)[:60]}", "metrics")
        named = {name_of(name, "metrics", self.settings, Reason.BAD_METRICS): given for name, given in metrics.items()}
        texts = {name: None if given is None else text_of(_declared(name, given)) for name, given in named.items()}
        self.store.declare(self.account, names, texts)
        return self.asking.now().measures(names, None, None)

    # single hits

    @on_default
    def get_spy(self, visitor: Any = None, limit: int = KEPT) -> list[dict[str, Any]]:
        """The last hits of a visitor or of the account, newest first, each with its outcome.

        whale/spy.py lists the fields. For the account: at most 100 hits that counted, and 100 that did not.
        """
        if not self.settings.spy:
            raise CallerError("no hits are kept, because HAILWHALE_SPY is 0", "spy")
        if not 1 <= limit <= 2 * KEPT:
            raise CallerError(f"expected 1 to {2 * KEPT}, got {limit}", "limit")
        whose = None if visitor is None else name_of(visitor, "visitor", self.settings, Reason.BAD_ID)
        return shown(self.store.spied(self.account, whose), limit, whose)

    @on_default
    def live_token(self, host: Any = "") -> dict[str, Any]:
        """Where hits can be watched while they are counted, and the token that opens a stream there.

        host: as which a browser knows Whale, with its port; else the address on which it listens. See docs/http/live.md.
        """
        if not isinstance(host, str) or (host and not HOST.fullmatch(host)):
            raise CallerError(f"expected a host such as 127.0.0.1:8086, got {ascii(host)[:60]}", "host")
        looker = admission.Looker(self.account)
        return admission.way_in(self.settings, looker, host or self.settings.whale_bind, self.clock())

    # the way into the store

    def _direct_now(self) -> Direct:
        with self._parts.lock:
            if self._parts.direct is None:
                applier = Applier(self.store, self.settings)
                merging = MergingApplier(applier, self.settings, self.clock, patience_s=0)
                self._parts.direct = Direct(lambda message: merging.apply([message]))
            return self._parts.direct

    def _queue(self) -> "Publisher":
        from hail.publish import Publisher

        with self._parts.lock:
            if self._parts.publisher is None:
                self._parts.publisher = Publisher(self.settings, self.clock)
            return self._parts.publisher


def _declared(name: str, given: Any) -> Declaration:
    try:
        return declaration_of(given)
    except NotDeclared as error:
        field = f"metrics.{ascii(name)[1:-1]}.{error.field}"[:200].removesuffix(".")
        raise CallerError(str(error), field) from None


def _refuse_nulls(value: Any, field: str, reason: Reason) -> None:
    """What is not known is left out of a hit; left out of what is set or forgotten, it would set or forget another thing."""
    waiting: list[tuple[str, Any]] = [] if value is None else [(field, value)]
    while waiting:
        where, each = waiting.pop()
        if each is None:
            raise HitError(reason, where[:200], "a null is not allowed here: leave the name out")
        if isinstance(each, Mapping):
            waiting += [(f"{where}.{ascii(name)[1:-1]}"[:200], below) for name, below in each.items()]
        elif isinstance(each, list | tuple):
            waiting += [(where, item) for item in each]
