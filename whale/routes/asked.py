"""What each route of Whale takes, as the msgspec types that check it; openapi.py describes the API from them.

Text parameters that hold names (`pk`, `dimensions`, `metrics`) are JSON, or Python-like as people type it, when they
open with a bracket, else one name.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hail.openapi import FORMS, Amounts, Name, Names

Dimensions = Annotated[
    str,
    Meta(
        description="Paths: a name, a list (one path), a list of lists, or an object, where a list is several paths; refused where "
        "hits counted it as one. Empty or `_`: the root."
    ),
]
Metrics = Annotated[str, Meta(description="Metrics or formulas: one, a list, or {'a': 'b'} for a/b. Empty: hits.")]
Pk = Annotated[str, Meta(description="What is counted: a name, or a list of names.", examples=["shop"])]
Period = Annotated[
    str,
    Meta(
        description="today, thirty, 1h:1d, 2026-01-01..2026-02-01, ...; with |zone too.", examples=["thirty", "today"]
    ),
]
Zone = Annotated[str, Meta(description="IANA zone, as Europe/Berlin.")]
Offset = Annotated[str, Meta(description="Offset from UTC: -0700, +05:30, hours -7, or hundredths of hours -700.")]
Week = Annotated[
    Literal["", "monday", "sunday"], Meta(description="The day that weeks begin with. Empty: HAILWHALE_WEEK_STARTS.")
]
Compare = Annotated[
    Literal["", "previous", "last_year"],
    Meta(
        description="Beside the period before, or the same one last year; both cut at the same time while it is open."
    ),
]
Undefined = Annotated[Literal["zero", "null"], Meta(description="What a quotient over zero is.")]
Explain = Annotated[bool, Meta(description="Answer {answer, explain}: what was read, and the time of each stage.")]
Cached = Annotated[bool, Meta(description="The answer that this process remembers, for a fifth of the interval.")]
Unmemoize = Annotated[bool, Meta(description="Asked anew, and remembered for `cached`.")]
Depth = Annotated[int, Meta(description="Levels below the paths that are answered too.")]
Time = Annotated[str, Meta(description=f"{FORMS} (without an offset: UTC).")]
Start = Annotated[
    str,
    Meta(description=f"The range begins with the bucket of this time. {FORMS} (without an offset: local)."),
]
Finish = Annotated[str, Meta(description="The range ends before this time; default: with the bucket of now.")]
Width = Annotated[str, Meta(description="Of a range: minute, hour, day, week, month, year, or as 15m; default: day.")]
Buckets = Annotated[int | None, Meta(description="How many buckets from `start` on, instead of a finish.")]


class Subject(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A pk, or several, paths of it, and formulas. The singular names mean the same."""

    pk: Pk = ""
    pks: Annotated[str, Meta(description="Instead of pk: up to 100, as a list. Answer: {pk: the answer}.")] = ""
    dimensions: Dimensions = ""
    dimension: Dimensions = ""
    metrics: Metrics = ""
    metric: Metrics = ""


class PlotpointsAsked(Subject, kw_only=True):
    period: Period = ""
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    depth: Depth = 0
    sort: Annotated[
        str, Meta(description="Of the paths below: metric or -metric, the largest first; default: minus the first.")
    ] = ""
    limit: Annotated[
        int, Meta(description="Paths below the asked ones that are kept, X-Whale-More: how many are not; 0 keeps all.")
    ] = 10
    points_type: Annotated[
        Literal["list", "dict"], Meta(description="list: [[label, number], ...]; dict: {label: number}.")
    ] = "list"
    flot_time: Annotated[bool, Meta(description="Labels are epoch ms, else local time as text.")] = True
    descending: Annotated[bool, Meta(description="The newest bucket first.")] = False
    with_totals: Annotated[bool, Meta(description="A last row `Total`.")] = False
    undefined: Undefined = "zero"
    compare: Compare = ""
    explain: Explain = False
    cached: Cached = False
    unmemoize: Unmemoize = False


class DatasetAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Annotated[str, Meta(description="Default: the setting DEFAULT_TABLE.")] = ""
    dimensions: Dimensions = ""
    dimension: Dimensions = ""
    value: Annotated[str, Meta(description="A metric or a formula.")] = "hits"
    period: Period = ""
    start_at: Time = ""
    depth: Depth = 0
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    undefined: Undefined = "zero"
    explain: Explain = False


class TotalsAsked(Subject, kw_only=True):
    period: Annotated[str, Meta(description="One period, or several with commas.")] = ""
    periods: Annotated[str, Meta(description="Several: a list, or with commas. None: those of the seed.")] = ""
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    undefined: Undefined = "zero"
    compare: Compare = ""
    explain: Explain = False
    cached: Cached = False
    unmemoize: Unmemoize = False


class TotalAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Pk
    dimensions: Dimensions = ""
    dimension: Dimensions = ""
    metric: Annotated[str, Meta(description="A metric or a formula.")] = "hits"
    period: Period = ""
    at: Time = ""
    index: Annotated[int | None, Meta(description="One bucket of the period: 0 the first, -1 the last.")] = None
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    undefined: Undefined = "zero"
    compare: Compare = ""
    explain: Explain = False
    cached: Cached = False
    unmemoize: Unmemoize = False


class RankAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Pk
    dimensions: Dimensions = ""
    dimension: Dimensions = ""
    by: Annotated[str, Meta(description="A metric or a formula: the order.")] = "hits"
    columns: Annotated[str, Meta(description="More formulas to answer of each row: one, a list, or {'a': 'b'}.")] = ""
    period: Period = ""
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    limit: Annotated[int, Meta(description="How many rows, X-Whale-More: how many are not among them; 0 is all.")] = 10
    offset: Annotated[int, Meta(description="How many rows to skip.")] = 0
    threshold: Annotated[
        float, Meta(description="Share of the parent, or difference to it, that is important: 0 to 1.")
    ] = 0.1
    min_support: Annotated[float, Meta(description="Rows of less support are left to `rest`.")] = 0
    order: Annotated[
        Literal["value", "confidence"], Meta(description="confidence: by the lower bound, ascending by the upper one.")
    ] = "value"
    ascending: Annotated[bool, Meta(description="The smallest first.")] = False
    all: Annotated[bool, Meta(description="Everything below, not one level.")] = False
    pks: Annotated[bool, Meta(description="The child pks, not paths.")] = False
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    compare: Compare = ""
    explain: Explain = False
    cached: Cached = False
    unmemoize: Unmemoize = False


class FactorsAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Pk
    metric: Annotated[str, Meta(description="A metric, or a formula: sums, or one sum over another.")] = "hits"
    period: Period = ""
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    compare: Annotated[
        Literal["", "previous", "last_year"],
        Meta(description="With what: the period before (default), or last year's."),
    ] = ""
    against: Annotated[str, Meta(description="Another period instead, as it is.")] = ""
    dimensions: Annotated[str, Meta(description="Whose values: paths. Empty: every top one that has values.")] = ""
    dimension: Annotated[str, Meta(description="The same.")] = ""
    depth: Annotated[int, Meta(description="Levels below a value that are looked into.")] = 3
    limit: Annotated[int, Meta(description="Values of each dimension; 0 shows all.")] = 10
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    explain: Explain = False


class SubdimensionsAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Pk
    dimensions: Dimensions = ""
    dimension: Dimensions = ""
    depth: Depth = 1
    all: Annotated[bool, Meta(description="Everything below, and the path itself.")] = False


class PksAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Annotated[str, Meta(description="The pk whose child pks are listed; none: the top ones.")] = ""


class MetricsAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Pk


class ResetGiven(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What /reset takes, as a JSON body holds it."""

    pk: Annotated[Name | list[Name], Meta(description="What is forgotten, with all pks below it.")]
    dimensions: Annotated[Names | None, Meta(description="One path of the pk is forgotten instead.")] = None
    dimension: Names | None = None


class UpdateGiven(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What /update_count_to takes, as a JSON body holds it."""

    pk: Annotated[Name | list[Name], Meta(description="What is set.")]
    dimensions: Annotated[Names | None, Meta(description="One path; the root where it is left out.")] = None
    dimension: Names | None = None
    metrics: Amounts | None = None
    metric: Amounts | None = None
    period: Annotated[str | int | None, Meta(description="Whose interval is meant; days where it is left out.")] = None
    at: Annotated[int | float | str | None, Meta(description="A time in the bucket; default: now.")] = None
    id: Annotated[Name | None, Meta(description="Of this operation: the same again changes nothing.")] = None
    rank: Annotated[bool, Meta(description="May be written; whatever is counted can be ranked.")] = False


class SpyAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    visitor: Annotated[str, Meta(description="Whose hits; none: those of the account.")] = ""
    limit: Annotated[int, Meta(description="How many, at most 200.")] = 100


class DecisionsAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    archived: Annotated[bool, Meta(description="Those that are archived too.")] = False


class DecisionAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    phase: Annotated[int | None, Meta(description="Which phase is reported; none: the one that holds.")] = None
    dimensions: Annotated[str, Meta(description="One path, whose children are reported as segments.")] = ""
    dimension: Annotated[str, Meta(description="The same as dimensions.")] = ""
    baseline: Annotated[str, Meta(description="The option that others are compared with; none: the default.")] = ""
    limit: Annotated[
        int,
        Meta(
            description="Segments that are reported, those with the most hits, at most 100; X-Whale-More: how many more."
        ),
    ] = 20


class DecideAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Annotated[str, Meta(description="The decision's name; or with `decision`, what it is about.")]
    options: Annotated[
        str,
        Meta(
            description="A list of names, as ['a', 'b', 'c']. Without it pk is the name of a decision that is defined.",
            examples=["['a', 'b', 'c']"],
        ),
    ] = ""
    decision: Annotated[str, Meta(description="The decision's name, where pk is what it is about.")] = ""
    dimensions: Annotated[str, Meta(description="What is known of the visitor, as a hit has it.")] = ""
    dimension: Annotated[str, Meta(description="The same as dimensions.")] = ""
    by_metric: Annotated[str, Meta(description="What is good: earned/spent, or earned, which means earned/hits.")] = (
        "value/hits"
    )
    goal: Annotated[str, Meta(description="max or min: whether much of it is good.")] = "max"
    policy: Annotated[str, Meta(description="thompson, epsilon or seed.")] = "thompson"
    period: Period = ""
    half_life: Annotated[
        str,
        Meta(
            description="A length as 7d: outcomes so old weigh half. From a bucket of the period to all of it; none: all weigh the same."
        ),
    ] = ""
    visitor: Annotated[str, Meta(description="Gets the same option while that is sticky; counts as a trial.")] = ""
    default: Annotated[str, Meta(description="The option that is answered while the store is away.")] = ""
    trial: Annotated[bool | None, Meta(description="Whether the decision counts as a hit of its option.")] = None
    exploration: Annotated[float, Meta(description="Of thompson: how much of its uncertainty is played, 0 to 1.")] = 0.5
    floor: Annotated[float, Meta(description="Of thompson: the share that is spread evenly.")] = 0.005
    epsilon: Annotated[float, Meta(description="Of epsilon: the share that is spread evenly.")] = 0.1
    min_trials: Annotated[float, Meta(description="An option with fewer has its even share at least.")] = 0
    bad_idea_threshold: Annotated[float, Meta(description="Of seed: the share of options known to be bad.")] = 0.05
    test_idea_threshold: Annotated[float, Meta(description="Of seed: the share of options to be tested.")] = 0.05


class Evidence(msgspec.Struct, kw_only=True):
    """What the counters of one path say of one option. interval: 95 %.  weight: 0 to 1, how far this path decided."""

    option: str
    dimension: str
    n: float
    rate: float | None
    interval: list[float | None] | None
    weight: float


class Decided(msgspec.Struct, kw_only=True):
    """The answer of /decide. reason: chosen, sticky, or default; of a decision that is defined also winner or paused."""

    option: str
    probability: float | None
    decision_id: str | None
    policy: str
    reason: str
    because: str
    evidence: list[Evidence]
    value: Annotated[Any | UnsetType, Meta(description="Of a decision that is defined, the option's value.")] = UNSET


class RewardGiven(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What /reward takes, as a JSON body holds it."""

    decision_id: Annotated[str, Meta(description="Of an answer of /decide.")]
    metrics: Annotated[Amounts | None, Meta(description="What it earned.")] = None
    metric: Amounts | None = None
    id: Annotated[
        Name | None, Meta(description="Of this reward: each id counts once, and rewards with ids add up.")
    ] = None
