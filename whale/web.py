"""Whale over HTTP: request -> one question -> JSON.

    GET  /plotpoints     {path: {metric: [[epoch ms, number], ...]}}
    GET  /dataset        [[time, number], ...], or {child: the same} with depth
    GET  /totals         {period: {path: {metric: number}}}
    GET  /total          number
    GET  /rank           {"rows": [{path, value, n, parts, columns, ...}, ...], "other", "rest", "ended", "total"}
    GET  /factors        {change, dimensions: [{dimension, explains, rows: [...]}, ...], ...}
    GET  /subdimensions  [path, ...]
    GET  /pks            [pk, ...]          GET  /metrics_of   [metric, ...]
    GET  /spy            [{at, outcome, ...}, ...]: the last hits
    GET  /count_now      OK: counted (also POST, JSON or a form), as Hail's /count
    GET  /decide         {option, probability, decision_id, ...}: which option to show
    GET  /count_decision OK: an outcome was counted (also POST)       POST /reward   {"counted": true}
    GET  /tracker        the visitor's uid: counted (also POST; by GET with a sealed pixel)
    GET  /decisions      [decision, ...]: those that are defined
    GET  /decisions/NAME {decision, phase, report}                POST /decisions/NAME: defines or changes it
    POST /ofrep/v1/evaluate/flags, .../flags/KEY: OpenFeature remote evaluation
    POST /update_count_to  {"added": {metric: number}}: a bucket was set
    POST /reset          OK: a pk, or a path of it, was forgotten
    GET  /               a page for people        /openapi.json /healthz /readyz /metrics

What each takes is in whale/asked.py; a question that is too long for an address may be POSTed. Promise: a question never writes, but
for /decide, which keeps what it decided. `OK` from /count_now means counted. A caller's fault is 400 with the field, in an RFC 9457
body; 503 with Retry-After means that the store is away. What was never counted reads 0 or empty.
"""

import gc
import hashlib
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import bottle
import msgspec
import prometheus_client
from prometheus_client import Histogram, multiprocess

from hail import access
from hail.hit import DECIDED_FIELDS, FIELDS, HitError, Reason, lenient
from hail.pixel import fields_of_pixel
from hail.settings import Settings, load
from whale import ofrep, openapi
from whale.answer import series
from whale.answer.cache import Cache, argument_key
from whale.answer.compare import Comparison
from whale.answer.explain import Watch, iso
from whale.answer.policy import Row as EvidenceRow
from whale.answer.rank import rank as ranked
from whale.answer.rank import shown
from whale.answer.shapes import flot_json, labels, path_below, points, times
from whale.asked import (
    DatasetAsked,
    DecideAsked,
    Decided,
    DecisionAsked,
    DecisionsAsked,
    Evidence,
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
from whale.client import Whale
from whale.decide import Decision
from whale.definition import Definition, decision_shown
from whale.dimension import Pk, path_text, pk_text
from whale.embedded import redis_url_of
from whale.errors import CallerError, Conflict, NotFound, PathError, PeriodError, Unavailable
from whale.page import POLICY, Row, render
from whale.parameters import (
    A,
    about_asked,
    asked_of,
    body_of,
    hit_given,
    object_of,
    parameters,
    period_of,
    periods_of,
    pks_of,
    query_of,
    subject,
    typed,
)
from whale.period import Range
from whale.responses import CORS, REFUSED, Problem, json_answer, text_answer, unavailable

log = logging.getLogger("whale.web")

STORE_TIMEOUT_S = 0.4  # three tries of it, so that a request is refused within about a second
UID_COOKIE, UID_S, MAX_UID = "uid", 365 * 86_400, 50
MOST_EVIDENCE = 500
ASKED = "hailwhale.asked"
PAGE_PKS, PAGE_CHILDREN, PAGE_METRICS = 50, 5, 8
HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-None-Match, X-API-Key",
    "Access-Control-Max-Age": "86400",
}
DECIDE_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(DecideAsked)}
CACHED_BYTES = 32_000_000  # answers that one process remembers

ANSWER_SECONDS = Histogram("hailwhale_answer_seconds", "Time of an answer, by route", ["route"])


@dataclass(frozen=True, slots=True)
class Kept:
    """A remembered answer. until: epoch seconds."""

    body: bytes
    headers: dict[str, str]
    until: float


def encoded(answers: Iterable[Any]) -> list[bytes]:
    return [msgspec.json.encode(answer) for answer in answers]


def by_pk(asked: Subject, questions: list[series.Question], bodies: list[bytes]) -> bytes:
    """The one answer; or {pk: answer} where several pks were asked."""
    if not asked.pks:
        return bodies[0]
    names = [msgspec.json.encode(pk_text(question.pk)) for question in questions]
    return b"{" + b",".join(name + b":" + body for name, body in zip(names, bodies, strict=True)) + b"}"


def uid_of(environ: Mapping[str, Any], asked: Any) -> str:
    """Who a tracker's hit is of: as it says, else as the cookie says, else someone new. `_new` is someone new."""
    if asked not in (None, "", "_new"):
        return str(asked)
    try:
        cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(UID_COOKIE)
    except CookieError:
        cookie = None
    known = unquote(cookie.value) if cookie and asked != "_new" else ""
    return known if 0 < len(known) <= MAX_UID and known.isprintable() else secrets.token_hex(16)


def make_app(settings: Settings, whale: Whale) -> bottle.Bottle:
    """The WSGI application over a Whale, which knows the store, the account and the clock."""
    app = bottle.Bottle()
    app.router.add_filter(
        "path", lambda _: ("(?s:.+)", None, None)
    )  # names may be of several lines, Bottle's own may not
    locked = any(getattr(settings, name.lower()) for name in access.KEYS)
    cache = Cache(whale.clock, CACHED_BYTES, lambda kept: len(kept.body) + 1000)

    def check_key(*doors: str) -> None:
        if not locked:
            return
        parameter = dict(parse_qsl(bottle.request.environ.get("QUERY_STRING", ""), errors="replace")).get("key")
        parameter = parameter or bottle.request.environ.get("HTTP_X_API_KEY")
        key = access.given_key(bottle.request.environ.get("HTTP_AUTHORIZATION", ""), parameter)
        if not access.allowed(settings, key, *doors):
            asks = {"WWW-Authenticate": 'Bearer, Basic realm="whale"'}
            expected = f"expected the {doors[0]} key, as Bearer, Basic password or key="
            raise Problem(401, Reason.UNAUTHORIZED, expected, headers=asks)

    def answering(door: str | None, answer: Callable[..., Any]) -> Callable[..., Any]:
        """Checks the key of a door, and turns what is raised into the answer it means."""
        seconds = ANSWER_SECONDS.labels(answer.__name__)

        def answered(**named: str) -> Any:
            try:
                with seconds.time():
                    if door:
                        check_key(door)
                    found = answer(**named)
                tag = found.headers.get("ETag")
                if tag and tag in bottle.request.environ.get("HTTP_IF_NONE_MATCH", ""):
                    found.status, found.body = 304, ""
                return found
            except Problem as problem:
                return problem.response()
            except NotFound as error:
                return Problem(404, error.code, str(error), error.field).response()
            except Conflict as error:
                current = decision_shown(error.current) if isinstance(error.current, Definition) else None
                return Problem(409, error.code, str(error), error.field, current=current).response()
            except CallerError as error:
                about = about_asked(error, bottle.request.environ.get(ASKED))
                return Problem(400, about.code, str(about), about.field).response()
            except HitError as error:
                return Problem(400, error.reason, str(error), error.field).response()
            except Unavailable as error:
                return unavailable(error).response()

        return answered

    def asked_as(kind: type[A]) -> A:
        environ = bottle.request.environ
        asked = environ[ASKED] = asked_of(query_of(environ, settings.max_body_bytes), kind)
        return asked

    def answer_of(
        watch: Watch,
        asked: Any,
        question: series.Question | list[series.Question],
        ranges: Mapping[str, Range],
        now: float,
        body: Callable[[], bytes],
    ) -> Any:
        """An answer with what it rests on: a cache asks again while its last bucket is open."""
        watch.stage("answer")
        questions = question if isinstance(question, list) else [question]
        adjusted = [
            any(each)
            for each in zip(*(whale.adjusted(one, ranges.values(), watch.store) for one in questions), strict=True)
        ]
        watch.stage("read")
        encoded = body()
        watch.stage("encode")
        if asked.explain:
            said = watch.said(dict(ranges), now)
            for row, touched in zip(said["ranges"].values(), adjusted, strict=True):
                if touched:
                    row["adjusted"] = True
            explained = msgspec.json.encode(said)
            encoded = b'{"answer":' + encoded + b',"explain":' + explained + b"}"
        headers = {
            **CORS,
            "Content-Type": "application/json",
            "Cache-Control": "no-cache",  # a hit may come late, to a bucket that has ended
            "ETag": f'"{hashlib.sha256(encoded).hexdigest()[:24]}"',
            "X-Whale-As-Of": iso(int(now)),
            "X-Whale-Complete": "true" if now >= max((found.end for found in ranges.values()), default=0) else "false",
        }
        if any(adjusted):
            headers["X-Adjusted"] = "true"
        if estimates := {
            name: error for one in questions for name, error in series.estimates(watch.store, one).items()
        }:
            rows = (f"{quote(name, safe='')};error={error * 100:g}%" for name, error in estimates.items())
            headers["X-Whale-Estimated"] = ", ".join(rows)
        return bottle.HTTPResponse(encoded, 200, headers)

    def remembered(kind: type[A], periods: Callable[[A], Any], answer: Callable[[], Any]) -> Callable[[], Any]:
        """The same answer; with `cached` what this process remembers of it, for a fifth of the interval."""

        @wraps(answer)
        def answered() -> Any:
            asked: Any = asked_as(kind)
            if not (asked.cached or asked.unmemoize):
                return answer()

            def anew() -> Kept:
                said, now = answer(), whale.clock()
                until = now + whale.lifetime_s(periods(asked), asked.tz, asked.tzoffset)
                return Kept(said.body, dict(said.headers.items()), until)

            names = {**msgspec.structs.asdict(asked), "cached": True, "unmemoize": False}
            key = argument_key(answer.__name__, names)
            found: Kept = cache.get(key, anew, lambda kept: kept.until - whale.clock(), asked.unmemoize)
            left_s = max(0, int(found.until - whale.clock()))
            return bottle.HTTPResponse(
                found.body, 200, {**found.headers, "Cache-Control": f"private, max-age={left_s}"}
            )

        return answered

    def compared(
        watch: Watch, question: series.Question, ranges: Mapping[str, Range], word: str, is_each_asked: bool, at: Any
    ) -> dict[str, Comparison]:
        return whale.comparisons(question, ranges, word, is_each_asked, at, watch.store) if word else {}

    def both_ranges(comparisons: Mapping[str, Comparison]) -> dict[str, Range]:
        """What the answer rests on: each period as it was asked, and the other one."""
        return {
            name: period
            for text, each in comparisons.items()
            for name, period in ((text, each.asked), (f"{text} {each.word}", each.before))
        }

    def plotpoints() -> Any:
        asked, now = asked_as(PlotpointsAsked), whale.clock()
        watch = Watch(whale.store, asked.explain)
        given: dict[str, Any] = {
            "depth": asked.depth,
            "sort": asked.sort or None,
            "limit": asked.limit,
            "undefined": asked.undefined,
        }
        questions = [whale.question(pk, **subject(asked), **given) for pk in pks_of(asked)]
        period = whale.range_of(period_of(asked), asked.tz, asked.tzoffset, at=now)
        ranges = {str(period_of(asked) or "thirty"): period}
        comparisons = [compared(watch, question, ranges, asked.compare, True, now) for question in questions]
        watch.stage("parse")
        share = whale.bounds.shared(len(questions))

        def shaped(plot: series.Plot) -> list[tuple[str, dict[str, Any]]]:
            names = labels(period, plot.starts, asked.flot_time)
            labelled, kind = (names, list) if asked.points_type == "list" else ([str(name) for name in names], dict)
            return [
                (
                    path_text(row.path),
                    {
                        name: points(
                            labelled, values, row.totals[name] if asked.with_totals else ..., kind, asked.descending
                        )
                        for name, values in row.values.items()
                    },
                )
                for row in plot.series
            ]

        if asked.compare:
            both = [
                whale.compared_plotpoints(question, comparison, watch.store, share, shaped)
                for question, each in zip(questions, comparisons, strict=True)
                for comparison in each.values()
            ]
            return answer_of(
                watch,
                asked,
                questions,
                both_ranges(comparisons[0]),
                now,
                lambda: by_pk(asked, questions, encoded(both)),
            )
        plots = [series.plotpoints(watch.store, question, period, share) for question in questions]

        def one(plot: series.Plot) -> bytes:
            if asked.points_type == "list":
                names = labels(period, plot.starts, asked.flot_time)
                rows = ((path_text(row.path), row.values, row.totals) for row in plot.series)
                return flot_json(rows, names, asked.descending, asked.with_totals)
            return msgspec.json.encode(dict(shaped(plot)))

        def body() -> bytes:
            return by_pk(asked, questions, [one(plot) for plot in plots])

        return answer_of(watch, asked, questions, ranges, now, body)

    def dataset() -> Any:
        asked, now = asked_as(DatasetAsked), whale.clock()
        watch = Watch(whale.store, asked.explain)
        value = asked.value or "hits"
        pk = lenient("pk", asked.pk or settings.default_table)
        dimensions = typed("dimensions", asked.dimensions or asked.dimension)
        question = whale.single(pk, dimensions, value, "value", depth=asked.depth, undefined=asked.undefined)
        start_at = lenient("at", asked.start_at) if asked.start_at else None
        period = whale.range_of(period_of(asked), asked.tz, asked.tzoffset, at=now, start_at=start_at)
        watch.stage("parse")
        plot = series.plotpoints(watch.store, question, period, whale.bounds)

        def body() -> bytes:
            names = [when.isoformat() for when in times(period, plot.starts)]
            above = question.paths[0]
            rows = {row.path: list(zip(names, row.values[value], strict=True)) for row in plot.series}
            if not asked.depth:
                return msgspec.json.encode(rows[above])
            return msgspec.json.encode({path_below(path, above): row for path, row in rows.items() if path != above})

        return answer_of(watch, asked, question, {str(period_of(asked) or "thirty"): period}, now, body)

    def totals() -> Any:
        asked, now = asked_as(TotalsAsked), whale.clock()
        watch = Watch(whale.store, asked.explain)
        questions = [whale.question(pk, **subject(asked), undefined=asked.undefined) for pk in pks_of(asked)]
        periods = periods_of(asked)
        named = "periods" if asked.periods else "period"
        ranges = whale.ranges_of(periods, asked.tz, asked.tzoffset, at=now, field=named)
        comparisons = [
            compared(watch, question, ranges, asked.compare, periods is not None, now) for question in questions
        ]
        watch.stage("parse")
        share, found = whale.bounds.shared(len(questions)), []
        if asked.compare:
            both = [
                whale.compared_totals(question, each, watch.store, share)
                for question, each in zip(questions, comparisons, strict=True)
            ]
            ranges = both_ranges(comparisons[0])
            return answer_of(watch, asked, questions, ranges, now, lambda: by_pk(asked, questions, encoded(both)))
        for question in questions:
            answered = series.totals_of(watch.store, question, ranges, share, periods is not None)
            found.append({name: {path_text(row.path): row.totals for row in rows} for name, rows in answered.items()})

        def body() -> bytes:
            return by_pk(asked, questions, encoded(found))

        return answer_of(watch, asked, questions, ranges, now, body)

    def total() -> Any:
        asked, now = asked_as(TotalAsked), whale.clock()
        watch = Watch(whale.store, asked.explain)
        metric = asked.metric or "hits"
        pk, path = lenient("pk", asked.pk), typed("dimensions", asked.dimensions or asked.dimension)
        question = whale.single(pk, path, metric, "metric", undefined=asked.undefined)
        then = lenient("at", asked.at) if asked.at else now
        period = whale.range_of(period_of(asked), asked.tz, asked.tzoffset, at=then)
        ranges = {str(period_of(asked) or "thirty"): period}
        comparisons = compared(watch, question, ranges, asked.compare, True, then)
        watch.stage("parse")
        if comparisons:
            (comparison,) = comparisons.values()
            found: Any = whale.compared_total(question, comparison, asked.index, watch.store)
            ranges = both_ranges(comparisons)
        else:
            found = whale.one_total(question, period, asked.index, watch.store)
        return answer_of(watch, asked, question, ranges, now, lambda: msgspec.json.encode(found))

    def rank() -> Any:
        asked, now = asked_as(RankAsked), whale.clock()
        watch = Watch(whale.store, asked.explain)
        question, ranking = whale.ranking(
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
        period = whale.range_of(period_of(asked), asked.tz, asked.tzoffset, at=now)
        ranges = {str(period_of(asked) or "thirty"): period}
        if asked.compare:
            comparison = whale.ranks_compared(question, ranking, period, period_of(asked), asked.compare)
            ranges = both_ranges(dict.fromkeys(ranges, comparison))
            watch.stage("parse")
            said = whale.compared_rank(question, ranking, comparison, watch.store)
        else:
            watch.stage("parse")
            found = ranked(watch.store, question, ranking, period, whale.bounds)
            said = shown(found, question, ranking, period, now)
        return answer_of(watch, asked, question, ranges, now, lambda: msgspec.json.encode(said))

    def factors() -> Any:
        asked, now = asked_as(FactorsAsked), whale.clock()
        watch = Watch(whale.store, asked.explain)
        period = period_of(asked)
        question, comparison = whale.factors_asked(
            lenient("pk", asked.pk),
            asked.metric or "hits",
            period,
            asked.compare,
            asked.against,
            asked.tz,
            asked.tzoffset,
        )
        dimensions = whale.dimensions_asked(typed("dimensions", asked.dimensions or asked.dimension))
        watch.stage("parse")
        found = whale.factors_of(question, comparison, dimensions, asked.depth, asked.limit, watch.store)
        ranges = both_ranges({str(period or "thirty"): comparison})
        return answer_of(watch, asked, question, ranges, now, lambda: msgspec.json.encode(found))

    def subdimensions() -> Any:
        asked = asked_as(SubdimensionsAsked)
        pk, path = lenient("pk", asked.pk), typed("dimensions", asked.dimensions or asked.dimension)
        if asked.all:
            return json_answer(whale.all_subdimensions(pk, path))
        return json_answer(whale.get_subdimensions(pk, path, depth=asked.depth))

    def pks() -> Any:
        return json_answer([pk_text(pk) for pk in whale.pks(typed("pk", asked_as(PksAsked).pk))])

    def metrics_of() -> Any:
        return json_answer(whale.metrics_of(lenient("pk", asked_as(MetricsAsked).pk)))

    def spy() -> Any:
        asked = asked_as(SpyAsked)
        return json_answer(whale.get_spy(asked.visitor or None, asked.limit))

    def count(given: Mapping[str, Any]) -> None:
        try:
            whale.count_hit(given)
        except HitError as error:
            whale.spy_refused(error, given)
            raise

    def tracker() -> Any:
        query = bottle.request.environ.get("QUERY_STRING", "")
        if "pixel" in dict(parse_qsl(query, errors="replace")):
            asked = parameters(query, (*FIELDS, "uid", "pixel"))
            given = fields_of_pixel(asked, settings, whale.account) | {"uid": asked.get("uid")}
        else:
            check_key("write")
            given = hit_given(bottle.request.environ, settings.max_body_bytes, ("uid",))
        uid = uid_of(bottle.request.environ, given.pop("uid", None))
        count({"visitor": uid, **given})
        cookie = f"{UID_COOKIE}={quote(uid, safe='')}; Max-Age={UID_S}; Path=/; HttpOnly; SameSite=Lax"
        return text_answer(uid, headers={**CORS, "Set-Cookie": cookie})

    def count_now() -> Any:
        count(hit_given(bottle.request.environ, settings.max_body_bytes))
        return text_answer("OK", headers=CORS)

    def decisions() -> Any:
        return json_answer(whale.decisions(asked_as(DecisionsAsked).archived))

    def decision_named(name: str) -> Any:
        asked = asked_as(DecisionAsked)
        path = typed("dimensions", asked.dimensions or asked.dimension)
        return json_answer(whale.decision_report(name, asked.phase, path, asked.baseline or None, asked.limit))

    def define(name: str) -> Any:
        same_site()
        fields = object_of(body_of(bottle.request.environ, settings.max_body_bytes), "a definition")
        return json_answer(whale.define_decision(name, **fields))

    def evaluate(key: str | None = None) -> Any:
        try:
            body = body_of(bottle.request.environ, settings.max_body_bytes)
            asked = ofrep.request_of(body, settings)
            if key is not None:
                return json_answer(ofrep.evaluate(whale.managed(), key, asked), headers={"Cache-Control": "no-store"})
            found = msgspec.json.encode(ofrep.evaluate_all(whale.managed(), asked))
            tag = f'"{hashlib.blake2b(found, digest_size=12).hexdigest()}"'
            return json_answer(msgspec.Raw(found), headers={"ETag": tag})
        except Problem as problem:
            refused = ofrep.Refused(problem.status, "PARSE_ERROR", str(problem))
        except Unavailable as error:
            refused = ofrep.Refused(503, "GENERAL", str(unavailable(error)))
        except ofrep.Refused as error:
            refused = error
        REFUSED.labels(refused.code).inc()
        return json_answer(refused.said(key), refused.status, {"Retry-After": "1"} if refused.status == 503 else {})

    def decide() -> Any:
        asked = asked_as(DecideAsked)
        if not asked.options:
            return decide_defined(asked)
        context, by = typed("dimensions", asked.dimensions or asked.dimension), asked.by_metric or "value/hits"
        options = lenient("options", asked.options) if asked.options else []
        names = ("exploration", "floor", "epsilon", "min_trials", "bad_idea_threshold", "test_idea_threshold")
        found = whale.decision(
            lenient("pk", asked.pk),
            asked.decision or None,
            [options] if isinstance(options, str) else options,
            by,
            context,
            asked.period or None,
            visitor=asked.visitor or None,
            default=asked.default or None,
            trial=asked.trial,
            half_life=asked.half_life or None,
            policy=asked.policy,
            goal=asked.goal,
            **{name: getattr(asked, name) for name in names},
        )
        rows = [_evidence(row) for row in found.evidence[:MOST_EVIDENCE]]
        answer = Decided(
            option=found.option,
            probability=found.probability,
            decision_id=found.decision_id,
            policy=found.policy,
            reason=found.reason,
            because=_because(found.reason, by, found.evidence),
            evidence=rows,
        )
        return json_answer(answer, headers={"Cache-Control": "no-store"})

    def decide_defined(asked: DecideAsked) -> Any:
        for name in DecideAsked.__struct_fields__:
            given = getattr(asked, name)
            if name not in ("pk", "dimensions", "dimension", "visitor") and given != DECIDE_DEFAULTS[name]:
                raise CallerError("goes with options; without them the definition of the decision says so", name)
        name = lenient("pk", asked.pk)
        context = typed("dimensions", asked.dimensions or asked.dimension)
        try:
            found = whale.choose(name, asked.visitor or None, context)
        except NotFound:
            raise PathError("expected at least one, or as pk a decision that is defined", "options") from None
        made = found.decision
        answer = Decided(
            option=made.option,
            probability=made.probability,
            decision_id=made.decision_id,
            policy=made.policy,
            reason=made.reason,
            because=_because_defined(found.why, made, found.definition.by_metric),
            evidence=[_evidence(row) for row in made.evidence[:MOST_EVIDENCE]],
            value=found.value,
        )
        return json_answer(answer, headers={"Cache-Control": "no-store"})

    def count_decision() -> Any:
        given = hit_given(bottle.request.environ, settings.max_body_bytes, DECIDED_FIELDS)
        try:
            whale.count_outcome(given)
        except HitError as error:
            whale.spy_refused(error, given)
            raise
        return text_answer("OK", headers=CORS)

    def reward() -> Any:
        given = hit_given(bottle.request.environ, settings.max_body_bytes, ("decision_id",))
        for field in given.keys() - {"decision_id", "metrics", "metric"}:
            raise CallerError("is not a field here: expected decision_id, metrics", ascii(field)[1:-1])
        if not given.get("decision_id"):
            raise CallerError("expected the decision_id of an answer of /decide, got nothing", "decision_id")
        return json_answer({"counted": whale.reward(**given)})

    def same_site() -> None:
        """Where nothing asks for a key, a page of another site must not change what is here."""
        if not locked and bottle.request.environ.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site"):
            raise Problem(401, Reason.UNAUTHORIZED, "pages of other sites need the admin key, which is not set")

    def update_count_to() -> Any:
        same_site()
        more = ("period", "rank")
        given = hit_given(bottle.request.environ, settings.max_body_bytes, more)
        for field in given.keys() - {*FIELDS, *more}:
            expected = ", ".join((*FIELDS, *more))
            raise CallerError(f"is not a field here: expected one of {expected}", ascii(field)[1:-1])
        given = {name: value for name, value in given.items() if name not in ("visitor", "event")}
        return json_answer({"added": whale.update_count_to(given.pop("pk", None), **given)})

    def reset() -> Any:
        same_site()
        given = hit_given(bottle.request.environ, settings.max_body_bytes)
        for field in given.keys() - {"pk", "dimensions", "dimension"}:
            raise CallerError("is not a field here: expected pk, dimensions", ascii(field)[1:-1])
        whale.reset(given.pop("pk", None), **given)
        return text_answer("OK")

    def page() -> Any:
        host = bottle.request.environ.get("HTTP_HOST", "")
        host = host if HOST.fullmatch(host) else settings.whale_bind
        names = whale.pks()
        rows = []
        for pk in names[:PAGE_PKS]:
            below = whale.pks(pk)
            rows.append(_row(whale, pk, len(below[PAGE_CHILDREN:])))
            rows += [_row(whale, child) for child in below[:PAGE_CHILDREN]]
        hail = f"http://{_seen_from(host, settings.hail_bind)}"
        html = render(rows, max(0, len(names) - PAGE_PKS), hail, f"http://{host}", locked)
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return bottle.HTTPResponse(html, 200, {**headers, "Content-Type": "text/html; charset=utf-8"})

    def preflight(**_: str) -> Any:
        return bottle.HTTPResponse("", 204, {**CORS, **PREFLIGHT})

    questions = (
        remembered(PlotpointsAsked, period_of, plotpoints),
        remembered(TotalsAsked, periods_of, totals),
        remembered(TotalAsked, period_of, total),
        remembered(RankAsked, period_of, rank),
    )
    for answer in (*questions, dataset, factors, subdimensions, pks, metrics_of, spy):
        app.route(f"/{answer.__name__}", ["GET", "POST"], answering("read", answer))
        app.route(f"/{answer.__name__}", "OPTIONS", preflight)
    for answer, door in ((count_now, "write"), (tracker, None), (count_decision, "write")):  # a pixel needs no key
        app.route(f"/{answer.__name__}", ["GET", "POST"], answering(door, answer))
    app.route("/decide", ["GET", "POST"], answering("read", decide))
    app.route("/decisions", "GET", answering("read", decisions))
    app.route("/decisions/<name:path>", "GET", answering("read", decision_named))
    app.route("/decisions/<name:path>", "POST", answering("admin", define))
    app.route("/ofrep/v1/evaluate/flags", "POST", answering("read", evaluate))
    app.route("/ofrep/v1/evaluate/flags/<key:path>", "POST", answering("read", evaluate))
    for rule in ("/decisions", "/decisions/<:path>", "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/<:path>"):
        app.route(rule, "OPTIONS", preflight)
    app.route("/reward", "POST", answering("write", reward))
    for name in ("count_now", "tracker", "count_decision", "decide", "reward"):
        app.route(f"/{name}", "OPTIONS", preflight)
        # Bottle would answer HEAD by GET, and count
        app.route(f"/{name}", "HEAD", lambda: text_answer("", headers=CORS))
    app.route("/update_count_to", "POST", answering("write", update_count_to))
    app.route("/reset", "POST", answering("admin", reset))
    app.route("/", "GET", answering("read", page))

    @app.get("/openapi.json")
    def described() -> Any:
        return json_answer(openapi.document())

    @app.get("/healthz")
    def healthz() -> Any:
        return text_answer("OK\n")

    @app.get("/readyz")
    def readyz() -> Any:
        try:
            whale.store.pks(whale.account)
        except Unavailable as error:
            return unavailable(error).response()
        return json_answer({"ready": True, "store": "up"})

    @app.get("/metrics")
    def metrics() -> Any:
        return bottle.HTTPResponse(_metrics(), 200, {"Content-Type": prometheus_client.CONTENT_TYPE_LATEST})

    def other_error(error: bottle.HTTPError) -> Any:
        if error.status_code == 500:
            log.error("%s: %r", bottle.request.path, error.exception, exc_info=error.exception)
        bottle.response.content_type = "application/problem+json"
        said = "see the log" if error.status_code == 500 else str(error.body)
        title = error.status_line.partition(" ")[2]
        return msgspec.json.encode(
            {"type": "about:blank", "title": title, "status": error.status_code, "detail": said}
        ).decode()

    app.default_error_handler = other_error
    return app


def _evidence(row: EvidenceRow) -> Evidence:
    interval = None if row.rate is None else [row.low, row.high]
    return Evidence(
        option=row.option,
        dimension=path_text(row.node),
        n=row.trials,
        rate=row.rate,
        interval=interval,
        weight=row.weight,
    )


def _because(reason: str, by: str, rows: Sequence[EvidenceRow]) -> str:
    """One sentence for people. rows: those of the chosen option first."""
    if reason == "sticky":
        return "the visitor has been given this option before"
    if reason == "default":
        return "the store is away: this is the default"
    known = [row for row in rows if row.option == rows[0].option and row.rate is not None]
    if not known:
        return f"nothing is known of {rows[0].option} yet"
    return f"{by} of {rows[0].option}: {'; '.join(map(_said, known[:5]))}"


def _because_defined(why: str, made: Decision, by: str) -> str:
    said = {
        "winner": "this is the winner, and everybody gets it",
        "paused": "the decision is paused, and everybody gets the default",
        "held out": "the visitor is held out, and gets the default",
        "split": "the visitor falls into its share of a fixed split",
    }
    return said.get(why) or _because(made.reason, by, made.evidence)


def _said(row: EvidenceRow) -> str:
    where = path_text(row.node) if row.node else "overall"
    low, high = ("?" if end is None else f"{end:.4g}" for end in (row.low, row.high))
    return f"{where} {row.rate:.4g} ({low} to {high}) in {row.trials:,.0f} trials"


def _seen_from(host: str, bind: str) -> str:
    """Where the reader of a page from `host` finds what listens on `bind`."""
    address, _, port = bind.rpartition(":")
    wildcard = address in ("0.0.0.0", "[::]")
    return f"{re.sub(':[0-9]+$', '', host)}:{port}" if wildcard else bind


def _row(whale: Whale, pk: Pk, more: int = 0) -> Row:
    metrics = whale.metrics_of(pk)[:PAGE_METRICS]
    try:
        today = whale.totals(pk, metrics=metrics, periods=["today"])["today"]["_"]
    except PeriodError:  # names of a distinct count are not kept for such hours as this zone's day has
        kinds = whale.store.kinds(whale.account, pk)
        sums = [metric for metric in metrics if metric not in kinds]
        today = whale.totals(pk, metrics=sums, periods=["today"])["today"]["_"]
    return Row(pk, today, more)


def _metrics() -> bytes:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return bytes(prometheus_client.generate_latest())
    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the client has no types there
    return bytes(prometheus_client.generate_latest(registry))


class Application:
    """`gunicorn whale.web:application`: reads the settings, and connects, in the process that serves."""

    def __init__(self) -> None:
        self._app: bottle.Bottle | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            app = self._app or self.load()
        except Unavailable as error:
            app = bottle.Bottle()
            app.route("/healthz", "GET", lambda: text_answer("OK\n"))
            app.route("<:re:(?s:.*)>", "ANY", lambda error=error: unavailable(error).response())
        return app(environ, start_response)

    def load(self) -> bottle.Bottle:
        """Raises SettingsError and SetupError with a sentence, Unavailable while the store is away."""
        with self._lock:
            if self._app is None:
                settings = load(os.environ)
                access.check_bind(settings.whale_bind, settings)
                url = settings.redis_url or redis_url_of(settings.data_dir)
                settings = settings.replace(redis_url=url)
                self._app = make_app(settings, Whale.connect(settings, timeout_s=STORE_TIMEOUT_S))
                gc.freeze()  # what is loaded by now stays: a full collection then takes a fraction of its 20 ms
            return self._app


application = Application()
