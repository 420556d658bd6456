"""What each route of Whale takes, as the msgspec types that check it; openapi.py describes the API from them.

Text parameters that hold names (`pk`, `dimensions`, `metrics`) are JSON, or Python-like as people type it, when they
open with a bracket, else one name.
"""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hail.openapi import FORMS, Amounts, Name, Names
from whale.accounts import LEVELS, MODULES, MOST_S, SCOPES
from whale.answer.measures import Better, Unit
from whale.decide.exploration import BAD_IDEA, EPSILON, EXPLORATION, FLOOR, MIN_TRIALS, TEST_IDEA
from whale.plot import LEAST, MOST, MOST_LINES
from whale.share import DEFAULT_DAYS, MOST_DAYS

Dimensions = Annotated[
    str,
    Meta(
        description="Paths: a name, a list of names (one path), a list of lists (several paths), or an object. A list inside "
        "an object means "
        "several paths, and is refused if hits counted it as one path. Omit, or send `_`, for the root."
    ),
]
Site = Annotated[str, Meta(description="The site: a pk of one level.", examples=["shop"])]
Metrics = Annotated[str, Meta(description="Metrics or formulas: one, a list, or {'a': 'b'} for a/b. Default: hits.")]
Pk = Annotated[str, Meta(description="The pk: a name, or a list of names.", examples=["shop"])]
Period = Annotated[
    str,
    Meta(
        description="Period: today, thirty, 1h:1d, 2026-01-01..2026-02-01, ... A zone may follow: today|Europe/Berlin.",
        examples=["thirty", "today"],
    ),
]
Zone = Annotated[str, Meta(description="IANA time zone such as Europe/Berlin. Default: the account's.")]
Offset = Annotated[str, Meta(description="Offset from UTC: -0700, +05:30, hours -7, or hundredths of hours -700.")]
Week = Annotated[
    Literal["", "monday", "sunday"], Meta(description="First day of the week. Default: HAILWHALE_WEEK_STARTS.")
]
Compare = Annotated[
    Literal["", "previous", "last_year"],
    Meta(
        description="Compare with the period before, or with the same period last year. An open period and the other one end "
        "after the same elapsed time."
    ),
]
Undefined = Annotated[Literal["zero", "null"], Meta(description="Result of a division by zero.")]
Paths = Annotated[
    Literal["text", "list"],
    Meta(
        description="`text` names a path as text. `list` names it as the list of its names, and answers a list of rows instead of an "
        "object keyed by path or pk."
    ),
]
PathsListed = Annotated[Literal["list"], Meta(description="Paths are lists of names here; accepted for uniformity.")]
Format = Annotated[
    Literal["json", "csv", "rows"],
    Meta(
        description="`csv` answers a table with a header, `rows` a flat list of {time, series, value}. Paths are text there."
    ),
]
NamesFormat = Annotated[
    Literal["json", "csv"], Meta(description="`csv` answers a table with a header. Paths are text there.")
]
Explain = Annotated[
    bool, Meta(description="Answer {answer, explain}, where `explain` lists the data read and the time of each stage.")
]
Cached = Annotated[
    bool, Meta(description="Allow this process's cached answer. It expires after a fifth of the interval.")
]
Unmemoize = Annotated[bool, Meta(description="Ignore the cached answer, compute a new one, and cache it for `cached`.")]
Depth = Annotated[int, Meta(description="Levels below the paths to include.")]
Time = Annotated[str, Meta(description=f"{FORMS}. A time without an offset is UTC.")]
Start = Annotated[
    str,
    Meta(
        description=f"Start of the range: it begins with the bucket of this time. {FORMS}. A time without an offset is local."
    ),
]
Finish = Annotated[str, Meta(description="End of the range, exclusive. Default: the end of the current bucket.")]
Width = Annotated[
    str,
    Meta(
        description="Interval of the range: minute, hour, day, week, month, year, or a width such as 15m. Default: day."
    ),
]
Buckets = Annotated[int | None, Meta(description="Number of buckets from `start` on, instead of `finish`.")]


class Subject(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One or more pks, their paths, and formulas. The singular names mean the same."""

    pk: Pk = ""
    pks: Annotated[
        str, Meta(description="Up to 100 pks as a list, instead of `pk`. The answer is then {pk: answer}.")
    ] = ""
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
        str,
        Meta(
            description="Order of the paths below: metric for ascending, -metric for descending. Default: the first metric, descending."
        ),
    ] = ""
    limit: Annotated[
        int, Meta(description="Number of paths below to answer; 0 for all. X-Whale-More counts the omitted ones.")
    ] = 10
    points_type: Annotated[
        Literal["list", "dict"],
        Meta(description="`list` answers [[label, number], ...], `dict` answers {label: number}."),
    ] = "list"
    flot_time: Annotated[
        bool, Meta(description="true labels buckets with epoch milliseconds, false with local time as text.")
    ] = True
    descending: Annotated[bool, Meta(description="Newest bucket first.")] = False
    with_totals: Annotated[bool, Meta(description="Add a last row `Total`.")] = False
    undefined: Undefined = "zero"
    compare: Compare = ""
    paths: Paths = "text"
    format: Format = "json"
    explain: Explain = False
    cached: Cached = False
    unmemoize: Unmemoize = False


class DatasetAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Annotated[str, Meta(description="The pk. Default: the setting DEFAULT_TABLE.")] = ""
    dimensions: Dimensions = ""
    dimension: Dimensions = ""
    value: Annotated[str, Meta(description="Metric or formula.")] = "hits"
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
    paths: Paths = "text"
    format: Format = "json"
    explain: Explain = False


class TotalsAsked(Subject, kw_only=True):
    period: Annotated[str, Meta(description="One period, or several separated by commas.")] = ""
    periods: Annotated[
        str,
        Meta(
            description="Several periods: a list, or separated by commas. Default: 1d:1y, 1d:1mo, 1d:1w, 1h:1d, 1m:1h."
        ),
    ] = ""
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    undefined: Undefined = "zero"
    compare: Compare = ""
    paths: Paths = "text"
    format: Format = "json"
    explain: Explain = False
    cached: Cached = False
    unmemoize: Unmemoize = False


class TotalAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Pk
    dimensions: Dimensions = ""
    dimension: Dimensions = ""
    metric: Annotated[str, Meta(description="Metric or formula.")] = "hits"
    period: Period = ""
    at: Time = ""
    index: Annotated[int | None, Meta(description="Answer one bucket of the period: 0 is the first, -1 the last.")] = (
        None
    )
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
    by: Annotated[str, Meta(description="Metric or formula to rank by.")] = "hits"
    columns: Annotated[
        str, Meta(description="Further formulas to answer for each row: one, a list, or {'a': 'b'} for a/b.")
    ] = ""
    period: Period = ""
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    limit: Annotated[int, Meta(description="Number of rows; 0 for all. X-Whale-More counts the omitted ones.")] = 10
    offset: Annotated[int, Meta(description="Number of rows to skip.")] = 0
    threshold: Annotated[
        float,
        Meta(
            description="Share of the parent, or relative difference from it, above which a row is marked important: 0 to 1."
        ),
    ] = 0.1
    min_support: Annotated[float, Meta(description="Support below which a row is summed into `rest`.")] = 0
    order: Annotated[
        Literal["value", "confidence"],
        Meta(
            description="`value` sorts by the value, `confidence` by the low end of its 95 % interval (by the high end if `ascending`)."
        ),
    ] = "value"
    ascending: Annotated[bool, Meta(description="Smallest first.")] = False
    all: Annotated[bool, Meta(description="Rank all levels below, instead of one.")] = False
    pks: Annotated[bool, Meta(description="Rank child pks instead of paths.")] = False
    series: Annotated[
        bool, Meta(description="Answer the series of each row too: the values of `by`, one for each of `times`.")
    ] = False
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    compare: Compare = ""
    paths: Paths = "text"
    format: Format = "json"
    explain: Explain = False
    cached: Cached = False
    unmemoize: Unmemoize = False


class FactorsAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Pk
    metric: Annotated[
        str, Meta(description="Metric or formula to explain: a sum of metrics, or one sum over another.")
    ] = "hits"
    period: Period = ""
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    compare: Annotated[
        Literal["", "previous", "last_year"],
        Meta(description="Compare with the period before (default), or with the same period last year."),
    ] = ""
    against: Annotated[str, Meta(description="Compare with this period instead. It is not shortened.")] = ""
    dimensions: Annotated[
        str,
        Meta(
            description="Dimensions (paths) whose values may explain the change. Default: every top-level one that has values."
        ),
    ] = ""
    dimension: Annotated[str, Meta(description="Same as `dimensions`.")] = ""
    depth: Annotated[int, Meta(description="Levels below a value to search.")] = 3
    limit: Annotated[int, Meta(description="Number of values to answer for each dimension; 0 for all.")] = 10
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    paths: Paths = "text"
    format: Format = "json"
    explain: Explain = False


class ShiftsAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Pk
    metric: Annotated[
        str, Meta(description="Metric or formula to search: a sum of metrics, or one sum over another.")
    ] = "hits"
    cost: Annotated[
        str, Meta(description="Metrics whose loss or gain to answer: one, or a list. The first one decides the order.")
    ] = ""
    period: Period = ""
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    dimensions: Annotated[
        str, Meta(description="Dimensions (paths) whose values to search. Default: every top-level one.")
    ] = ""
    dimension: Annotated[str, Meta(description="Same as `dimensions`.")] = ""
    depth: Annotated[int, Meta(description="Levels below a dimension to search.")] = 3
    limit: Annotated[int, Meta(description="Number of shifts to answer; 0 for all. `left_out` counts the others.")] = 10
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    paths: PathsListed = "list"
    format: Format = "json"
    explain: Explain = False


Side = Annotated[int | None, Meta(description=f"Pixels, {LEAST} to {MOST}, instead of those of `size`.")]


Lines = Annotated[int, Meta(description=f"Number of paths below to draw, 1 to {MOST_LINES}.")]
Size = Annotated[
    Literal["small", "full"],
    Meta(description="`small` is a line of 240 x 48. `full` has axes and names, and 720 x 300."),
]
Theme = Annotated[Literal["light", "dark"], Meta(description="Colours.")]
Area = Annotated[bool, Meta(description="Fill the area below each line.")]
Title = Annotated[str, Meta(description="Title of the picture. Default: its metrics and its pk.")]


class PlotAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Pk = ""
    dimensions: Dimensions = ""
    dimension: Dimensions = ""
    metrics: Metrics = ""
    metric: Metrics = ""
    period: Period = ""
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    depth: Depth = 0
    limit: Lines = 5
    size: Size = "small"
    width: Side = None
    height: Side = None
    theme: Theme = "light"
    area: Area = False
    title: Title = ""
    explain: ClassVar[bool] = False


class Part(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of a share is asked."""

    dimensions: Annotated[
        str, Meta(description="Paths of the share, or, if it may drill, paths below them. Default: all of the share.")
    ] = ""
    dimension: Annotated[str, Meta(description="Same as `dimensions`.")] = ""
    metrics: Annotated[str, Meta(description="Metrics of the share. Default: all of them.")] = ""
    metric: Annotated[str, Meta(description="Same as `metrics`.")] = ""
    depth: Annotated[int, Meta(description="Levels below the paths to include, if the share may drill.")] = 0


class SharedPlotpointsAsked(Part, kw_only=True):
    limit: Annotated[
        int, Meta(description="Number of paths below to answer, 1 to 100. X-Whale-More counts the omitted ones.")
    ] = 10


class SharedPlotAsked(Part, kw_only=True):
    limit: Lines = 5
    size: Size = "small"
    width: Side = None
    height: Side = None
    theme: Theme = "light"
    area: Area = False
    title: Title = ""


class SharedMetricsAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Nothing: a share knows its metrics."""


class SharedMetric(msgspec.Struct, kw_only=True):
    """A metric of a share, with its unit."""

    name: str
    kind: str
    unit: str
    currency: str | None
    better: str


class SharePageAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    theme: Annotated[Literal["", "light", "dark"], Meta(description="Colours. Default: as the reader has set.")] = ""


class ShareGiven(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The JSON body of /shares."""

    pk: Annotated[Name | list[Name], Meta(description="The pk that the share answers.")]
    dimensions: Annotated[Names | None, Meta(description="Its paths. Default: the root.")] = None
    dimension: Names | None = None
    metrics: Annotated[
        Name | list[Name] | dict[str, str] | None, Meta(description="Its metrics or formulas. Default: hits.")
    ] = None
    metric: Name | list[Name] | dict[str, str] | None = None
    period: Annotated[str | None, Meta(description="Its period. Default: thirty.")] = None
    days: Annotated[float, Meta(description=f"Days until the share ends, at most {MOST_DAYS}.", gt=0, le=MOST_DAYS)] = (
        DEFAULT_DAYS
    )
    frame: Annotated[
        str | list[str] | None,
        Meta(description="Origins of the sites that may show the page of the share in a frame. Default: none."),
    ] = None
    drill: Annotated[bool, Meta(description="true answers the paths below its paths too.")] = False


class Shared(msgspec.Struct, kw_only=True):
    """The answer of /shares. expires: ISO 8601."""

    url: str
    expires: str


class SubdimensionsAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Pk
    dimensions: Dimensions = ""
    dimension: Dimensions = ""
    depth: Depth = 1
    paths: Paths = "text"
    format: NamesFormat = "json"
    all: Annotated[bool, Meta(description="Answer all levels below, and the path itself.")] = False


class PksAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Annotated[str, Meta(description="List the children of this pk. Default: top-level pks.")] = ""
    prefix: Annotated[str, Meta(description="List only pks whose own name begins with this text, in any case.")] = ""
    limit: Annotated[
        int,
        Meta(
            description="Number of pks to answer; 0 for all, with `counts` for 50, and then at most 1000. X-Whale-More counts the "
            "omitted ones."
        ),
    ] = 0
    offset: Annotated[int, Meta(description="Number of pks to skip.")] = 0
    counts: Annotated[bool, Meta(description="Answer the hits of today and the last day with a hit for each pk.")] = (
        False
    )
    format: NamesFormat = "json"
    tz: Zone = ""
    tzoffset: Offset = ""


class PkCounted(msgspec.Struct, kw_only=True):
    """A pk and its use. last_seen: the last day with a hit; null if no day is kept."""

    pk: str
    hits_today: int
    last_seen: str | None


class MetricsAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Pk
    info: Annotated[
        bool,
        Meta(
            description="Answer for each metric its kind, unit, currency and better direction, and the first and the last day with a "
            "count."
        ),
    ] = False
    format: NamesFormat = "json"
    tz: Zone = ""
    tzoffset: Offset = ""


class Declared(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Unit, currency and good direction of a metric. Omitted fields are guessed."""

    unit: Unit | None = None
    currency: Annotated[str | None, Meta(description="ISO 4217 code such as USD. Requires the unit money.")] = None
    better: Annotated[Better | None, Meta(description="Direction that is good: up, down or none.")] = None


class DeclaredGiven(msgspec.Struct, kw_only=True):
    """The JSON body of PUT /metrics_of."""

    pk: Annotated[Name | list[Name], Meta(description="The pk. Pks below it have the same declarations.")]
    metrics: Annotated[
        dict[str, Declared | None],
        Meta(description="Declarations by metric. null removes a declaration. Other metrics keep theirs."),
    ]


class NotesAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Annotated[str, Meta(description="Notes of this pk, and those of no pk. Default: all.")] = ""
    period: Period = ""
    start: Start = ""
    finish: Finish = ""
    interval: Width = ""
    buckets: Buckets = None
    tz: Zone = ""
    tzoffset: Offset = ""
    week: Week = ""
    format: Format = "json"


class NoteGiven(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of POST /notes, as JSON or as a form."""

    text: Annotated[str, Meta(description="An event in at most 500 bytes.", examples=["release 4.2"])]
    at: Annotated[int | float | str | None, Meta(description=f"{FORMS}. Default: now.")] = None
    pk: Annotated[Name | list[Name] | None, Meta(description="The pk that it is about. Default: all.")] = None
    id: Annotated[
        Name | None, Meta(description="Id of the note. The same note again is kept once. Default: a new id.")
    ] = None


class NoteKept(msgspec.Struct):
    id: str


RightsGiven = Annotated[
    dict[str, str], Meta(description=f"Level by module: {', '.join(LEVELS)}. Modules: {', '.join(MODULES)}.")
]
Lasts = Annotated[int, Meta(description="Seconds until the key ends. Default: it never ends.", ge=1, le=MOST_S)]


class UserGiven(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The JSON body of POST /users."""

    name: Annotated[str, Meta(description="The name within the account. The account's own name is its owner.")]
    password: Annotated[str, Meta(description="At least 8 letters.")]
    rights: RightsGiven | None = None


class UserChanges(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The JSON body of POST /users/NAME."""

    password: Annotated[str | None, Meta(description="The new password.")] = None
    rights: RightsGiven | None = None


class KeyGiven(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The JSON body of POST /keys."""

    scope: Annotated[str, Meta(description=f"One of {', '.join(SCOPES)}.")]
    site: Annotated[str | None, Meta(description="The only site that the key opens. Default: all pks.")] = None
    expires_s: Lasts | None = None


class KeyChanges(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The JSON body of POST /keys/ID: one of its fields, or rotate_s with expires_s."""

    expires_s: Annotated[
        Lasts | UnsetType | None,
        Meta(
            description="Seconds until the key ends; with rotate_s, until the new key ends. Use null for a key that never ends."
        ),
    ] = UNSET
    revoke: Annotated[bool, Meta(description="End the key now.")] = False
    rotate_s: (
        Annotated[int, Meta(description="Make a new key. The old one ends after these seconds.", ge=0, le=MOST_S)]
        | None
    ) = None


class SiteChanges(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The JSON body of POST /sites/PK. Fields that are left out stay."""

    name: Annotated[str | None, Meta(description="Its name for people.")] = None
    description: Annotated[str | None, Meta(description="A description for people.")] = None
    open: Annotated[bool | None, Meta(description="Whether browsers may send to it. Default: false.")] = None
    origins: Annotated[list[str] | None, Meta(description="Pages that may send, such as https://shop.example.")] = None
    pixels: Annotated[
        str | None, Meta(description="referer or any: whether an image needs a Referer of such a page.")
    ] = None
    keep_days: Annotated[int | None, Meta(description="Days that its visitor log is kept. Default: 400.")] = None
    keep_ids: Annotated[bool | None, Meta(description="Whether ids of visitors are kept. Default: true.")] = None
    cross_site_cookie: Annotated[
        bool | None,
        Meta(description="Whether pages of other sites send the cookie of its visitors over https. Default: false."),
    ] = None
    dimensions: Annotated[list[str] | None, Meta(description="Properties of hits that count as paths, at most 8.")] = (
        None
    )
    event_properties: Annotated[
        list[str] | None, Meta(description="Properties that are of an event, not of its visitor, at most 8.")
    ] = None
    session_gap_s: Annotated[
        int | None,
        Meta(description="Seconds without an event after which a session is over. 0 is HAILWHALE_SESSION_GAP_S."),
    ] = None
    pages_in_lower_case: Annotated[
        bool | None, Meta(description="Whether the tracker's pages are counted in lower case. Default: false.")
    ] = None
    pages_without_slash: Annotated[
        bool | None, Meta(description="Whether a slash at the end of a page is dropped. Default: false.")
    ] = None
    page_parameters: Annotated[
        list[str] | None, Meta(description="Parameters of addresses that are part of the page, at most 20.")
    ] = None


class SiteGiven(SiteChanges, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The JSON body of POST /sites."""

    pk: Annotated[str, Meta(description="The first-level pk.")]


class JournalAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(description="Number of changes, at most 10,000.")] = 100


class DirectorySeen(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    since: Annotated[str | None, Meta(description="State whose changes are asked for. Omit for all.")] = None


class SaltsAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Nothing."""


class UserShown(msgspec.Struct, kw_only=True):
    name: str
    rights: dict[str, str]
    made_at: int | None


class KeyShown(msgspec.Struct, kw_only=True, omit_defaults=True):
    """secret: once, where the key is made."""

    id: str
    prefix: str
    scope: str
    site: str | None
    public: bool
    standing: str
    made_at: int | None
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    secret: str = ""


class SiteShown(msgspec.Struct, kw_only=True):
    pk: str
    name: str
    description: str
    open: bool
    origins: list[str]
    pixels: str
    keep_days: int
    keep_ids: bool
    cross_site_cookie: bool
    dimensions: list[str]
    event_properties: list[str]
    session_gap_s: int
    pages_in_lower_case: bool
    pages_without_slash: bool
    page_parameters: list[str]


class ActShown(msgspec.Struct, kw_only=True):
    at: int
    who: str
    did: str
    account: str
    about: str


class State(msgspec.Struct, kw_only=True):
    """The answer of /health.json. A field that cannot be known is null, and `why` has the reason."""

    as_of: str
    whale: dict[str, bool]
    redis: dict[str, str]
    queue: dict[str, int] | None
    hails: list[dict[str, Any]] | None
    lag_s: float | None
    audit: dict[str, Any] | None
    dead: int | None
    versions: dict[str, str | None]
    why: dict[str, str]


class ResetGiven(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The JSON body of /reset."""

    pk: Annotated[Name | list[Name], Meta(description="The pk to delete, with all pks below it.")]
    dimensions: Annotated[
        Names | None,
        Meta(
            description="Delete only this path of the pk, with all paths below it. **The root (`_`, `[]`, `{}`, an empty text or "
            "null) deletes the whole pk, with all pks below it.**"
        ),
    ] = None
    dimension: Names | None = None


class UpdateGiven(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The JSON body of /update_count_to."""

    pk: Annotated[Name | list[Name], Meta(description="The pk.")]
    dimensions: Annotated[Names | None, Meta(description="One path. Default: the root.")] = None
    dimension: Names | None = None
    metrics: Amounts | None = None
    metric: Amounts | None = None
    period: Annotated[str | int | None, Meta(description="Interval to set, such as 1h or 1d. Default: days.")] = None
    at: Annotated[int | float | str | None, Meta(description="A time inside the bucket. Default: now.")] = None
    id: Annotated[Name | None, Meta(description="Id of this operation. A repeat with the same id changes nothing.")] = (
        None
    )
    rank: Annotated[bool, Meta(description="Has no effect; accepted for older clients.")] = False


class SpyAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    visitor: Annotated[str, Meta(description="Show only this visitor's hits. Default: the account's.")] = ""
    limit: Annotated[int, Meta(description="Number of hits, at most 200.")] = 100


class DecisionsAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    archived: Annotated[bool, Meta(description="Include archived decisions.")] = False


class DecisionAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    phase: Annotated[int | None, Meta(description="Number of the phase to report. Default: the current one.")] = None
    dimensions: Annotated[str, Meta(description="Report the children of this path as segments.")] = ""
    dimension: Annotated[str, Meta(description="Same as `dimensions`.")] = ""
    baseline: Annotated[str, Meta(description="Option to compare the others with. Default: the default option.")] = ""
    limit: Annotated[
        int,
        Meta(
            description="Number of segments to report, those with the most hits, at most 100. X-Whale-More counts the omitted ones."
        ),
    ] = 20


class OutcomesAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Annotated[
        str, Meta(description="Name of the decision, whose options are the pks below it. With `decision`, its subject.")
    ]
    decision: Annotated[str, Meta(description="Name of the decision, if `pk` names its subject.")] = ""
    by_metric: Annotated[
        str, Meta(description="Metric to judge options by: earned/spent, or earned, which means earned/hits.")
    ] = "value/hits"
    goal: Annotated[str, Meta(description="max if a high value is good, min if a low one is.")] = "max"
    period: Period = ""
    dimensions: Annotated[str, Meta(description="Report the children of this path as segments.")] = ""
    dimension: Annotated[str, Meta(description="Same as `dimensions`.")] = ""
    baseline: Annotated[
        str, Meta(description="Option to compare the others with. Default: the one with the most hits.")
    ] = ""
    limit: Annotated[
        int,
        Meta(
            description="Number of segments to report, those with the most hits, at most 100. X-Whale-More counts the omitted ones."
        ),
    ] = 20


class DecideAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pk: Annotated[str, Meta(description="Name of the decision. With `decision`, the subject of the decision.")]
    options: Annotated[
        str,
        Meta(
            description="Names of the options, such as ['a', 'b', 'c']. Omit if `pk` names a managed decision.",
            examples=["['a', 'b', 'c']"],
        ),
    ] = ""
    decision: Annotated[str, Meta(description="Name of the decision, if `pk` names its subject.")] = ""
    dimensions: Annotated[str, Meta(description="Properties of the visitor, in the form of a hit's dimensions.")] = ""
    dimension: Annotated[str, Meta(description="Same as `dimensions`.")] = ""
    by_metric: Annotated[
        str, Meta(description="Metric to judge options by: earned/spent, or earned, which means earned/hits.")
    ] = "value/hits"
    goal: Annotated[str, Meta(description="max if a high value is good, min if a low one is.")] = "max"
    policy: Annotated[str, Meta(description="Policy: thompson, epsilon or seed.")] = "thompson"
    period: Period = ""
    half_life: Annotated[
        str,
        Meta(
            description="Age at which an outcome weighs half, such as 7d; from one bucket of the period to its whole length. "
            "Omit for equal weights."
        ),
    ] = ""
    visitor: Annotated[
        str,
        Meta(
            description="Id of the visitor. They get the same option again while it is sticky, and count as one trial."
        ),
    ] = ""
    default: Annotated[str, Meta(description="Option to answer while the store is down.")] = ""
    trial: Annotated[
        bool | None,
        Meta(description="Count the decision as a trial of its option. Default: true with a visitor, false without."),
    ] = None
    exploration: Annotated[float, EXPLORATION.shown] = EXPLORATION.default
    floor: Annotated[float, FLOOR.shown] = FLOOR.default
    epsilon: Annotated[float, EPSILON.shown] = EPSILON.default
    min_trials: Annotated[float, MIN_TRIALS.shown] = MIN_TRIALS.default
    bad_idea_threshold: Annotated[float, BAD_IDEA.shown] = BAD_IDEA.default
    test_idea_threshold: Annotated[float, TEST_IDEA.shown] = TEST_IDEA.default


class Evidence(msgspec.Struct, kw_only=True):
    """Evidence of one path for one option. interval: 95 %.  weight: influence of this path on the decision, 0 to 1."""

    option: str
    dimension: str
    n: float
    rate: float | None
    interval: list[float | None] | None
    weight: float


class Decided(msgspec.Struct, kw_only=True):
    """The answer of /decide. reason: chosen, sticky or default; for a managed decision also winner or paused."""

    option: str
    probability: float | None
    decision_id: str | None
    policy: str
    reason: str
    because: str
    evidence: list[Evidence]
    value: Annotated[Any | UnsetType, Meta(description="Value of the option, for a managed decision.")] = UNSET


class RewardGiven(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The JSON body of /reward."""

    decision_id: Annotated[str, Meta(description="`decision_id` of an answer of /decide.")]
    metrics: Annotated[
        Amounts | None, Meta(description='Metrics that the decision earned, such as {"revenue": 19.9}.')
    ] = None
    metric: Amounts | None = None
    id: Annotated[
        Name | None,
        Meta(
            description="Id of the reward, such as an order number. Each id counts once; rewards with different ids add up."
        ),
    ] = None


class LiveAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a stream takes; an EventSource sends no header, so token and last stand in the address."""

    pk: Annotated[str, Meta(description="The pk to look at, with all below it. Default: all pks.")] = ""
    token: Annotated[str, Meta(description="Token of GET /live_token, where keys are set.")] = ""
    last: Annotated[
        str, Meta(description="Id of the last event that came, as Last-Event-ID. Later events are sent first.")
    ] = ""


class LiveAt(msgspec.Struct, kw_only=True):
    """Where a page finds the live service."""

    url: Annotated[str | None, Meta(description="Address of the stream; null if no live service runs.")]
    token: Annotated[str | None, Meta(description="Opens a stream until `expires`; null if no key is set.")]
    expires: Annotated[int | None, Meta(description="Epoch seconds by which a stream must be opened with the token.")]
    spy: Annotated[bool, Meta(description="false if streams have totals only (HAILWHALE_SPY=0).")]
