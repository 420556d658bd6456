"""Moments, periods and ranges as people write them, drawn at random: often the awkward ones, about one of twenty wrong."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from random import Random

from tests.oracle import CTIME, DAY, HOUR, Asked, begins, clock_of

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia",
    "America/Havana", "Pacific/Chatham", "America/Sao_Paulo", "Asia/Beirut", "Antarctica/Troll", "Pacific/Kiritimati", "Africa/Cairo",
)  # fmt: skip
NAMES = (
    "thirty", "year", "seven", "day", "24h", "hours", "hour", "1d:1mo", "1d:1y", "1d:1w", "1h:1d", "1m:1h", "24 hours",
    "today", "yesterday", "wtd", "mtd", "ytd", "last_week", "last_month", "today", "wtd",
)  # fmt: skip
WIDTHS = (
    "15s", "1m", "5m", "15m", "30m", "1h", "1d", "1w", "1mo", "1y", "1 day", "1hour", "1 month", "7d", "60", "900", "3600", "86400",
    "604800",
)  # fmt: skip
UNITS = (
    "s",
    "m",
    "h",
    "d",
    "d",
    "w",
    "mo",
    "y",
    " minutes",
    " hours",
    " days",
    " weeks",
    " months",
    " years",
    " day",
    "hour",
)
COUNTS = (1, 2, 3, 7, 8, 12, 24, 30, 36, 48, 60, 100)
WRONG = (
    "7m", "2h:1d", "6h:7d", "2d:30d", "2mo:1y", "45m:1d", "last_0d", "0d", "1d:", "1d:0d", "2026-02-30", "2026-13", "soon", "lastweek",
)  # fmt: skip
NO_TIMES = (
    "2015",
    "201506",
    "20151345",
    "2015.0",
    "soon",
    "nan",
    "true",
    "1e300",
    "2015-06-31",
    "99999999999999999999",
)


@lru_cache(maxsize=1024)
def changes(zone: str, year: int) -> tuple[int, ...]:
    """The seconds at which a zone's clock changes in a year."""
    clock, found = clock_of(zone), []
    first = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    for week in range(first, first + 364 * DAY, 7 * DAY):
        low, high = week, week + 7 * DAY
        if _away(low, clock) == _away(high, clock):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _away(middle, clock) == _away(low, clock) else (low, middle)
        found.append(high)
    return tuple(found)


def _away(at: int, clock: tzinfo) -> timedelta | None:
    return datetime.fromtimestamp(at, clock).utcoffset()


def moment(random: Random, zone: str) -> int:
    """Beside a change of the clock, the end of a day, a month or a year, or a few days from it."""
    year = random.choice((2011, 2012, *range(2010, 2031)))
    day = random.choice(
        (date(year, 1, 1), date(year, random.randrange(1, 13), 1), date(year, 1, 1) + timedelta(random.randrange(365)))
    )
    near = (0, -1, 1, 600, 1800, -1800, random.randrange(-HOUR, HOUR), random.randrange(-3 * DAY, 3 * DAY))
    where = (begins(day, random.choice((zone, zone, *ZONES))), *changes(zone, year))
    return random.choice(where) + random.choice(near)


def question(random: Random, zone: str, now: float) -> Asked:
    """A period, or a start with what belongs to it; in a zone, with a first day of the week."""
    asked = ranged(random, zone, now) if random.random() < 0.2 else Asked(period(random, zone, now))
    match random.randrange(6):
        case 0 | 1:
            asked = replace(asked, tz=random.choice((*ZONES, *ZONES, zone, "Mars/Olympus")))
        case 2:
            asked = replace(asked, tzoffset=offset(random))
        case 3 if asked.period is not None:
            asked = replace(asked, period=f"{asked.period}|{random.choice((*ZONES, offset(random), 'system'))}")
    if random.random() < 0.15:
        asked = replace(asked, week=random.choice(("monday", "sunday")))
    if asked.period is not None and random.random() < 0.1:
        asked = replace(asked, period=f"{asked.period}|{random.choice(('monday', 'sunday'))}")
    return asked


def offset(random: Random) -> str:
    hours, quarters, sign = random.randrange(12), random.choice((0, 0, 1, 2, 3)), random.choice("+-")
    clock = f"{sign}{hours:02}{quarters * 15:02}", f"{sign}{hours:02}:{quarters * 15:02}"
    return random.choice((*clock, f"{sign}{hours + quarters / 4:g}", f"{sign}{hours}{quarters * 25:02}"))


def period(random: Random, zone: str, now: float) -> str:
    day, count, width = local_day(random, zone, now), random.choice(COUNTS), random.choice(WIDTHS)
    other = day + timedelta(random.choice((1, 1, 2, 7, 31, 0, -1)))
    hours = f"{day}T{random.randrange(24):02}:{random.choice((0, 30, 42)):02}..{other}T{random.randrange(24):02}:15"
    return random.choice(
        (
            random.choice(NAMES),
            random.choice(NAMES),
            f"last_{count}d",
            f"{count}{random.choice(UNITS)}",
            f"{count}{random.choice(('h', 'd', 'w', 'mo', 'y'))}",
            f"{width}:{count}{random.choice(UNITS)}",
            f"{width}:{random.choice(('1d', '1w', '8w', '1mo', '6mo', '1y', '2h', '90m'))}",
            width,
            f"{day}",
            f"{day:%Y-%m}",
            f"{day}..{other}",
            f"{width}:{day}..{other}",
            f"{width}:{hours}",
            f"{day:%m/%d/%Y}-{other:%m/%d/%Y}",
            random.choice(WRONG),
        )
    )


def ranged(random: Random, zone: str, now: float) -> Asked:
    day, hour = local_day(random, zone, now), f"T{random.randrange(24):02}:{random.choice((0, 30, 42)):02}"
    at = begins(day, zone)
    some = at + random.randrange(DAY)
    numbers = (f"{some}", f"{some}.5", f"{some}250", f"{some}250125", f"{day:%Y%m%d}")
    texts = (f"{day}", f"{day}{hour}", f"{day}T10:42Z", f"{day}{hour}+05:45", f"{day:{CTIME}}")
    start = random.choice((*texts, *texts, *numbers, random.choice(NO_TIMES)))
    words = ("minute", "hour", "hour", "day", "week", "month", "year")
    interval = random.choice((None, *words, *words, "15m", "1d", "1h", "5m", "fortnight"))
    match random.randrange(4):
        case 0:
            return Asked(start=start, interval=interval)
        case 1:
            return Asked(start=start, interval=interval, buckets=random.choice((1, 2, 5, 30, 0)))
    later = at + random.choice((HOUR, DAY, 3 * DAY, 40 * DAY, 400 * DAY, -HOUR))
    end = datetime.fromtimestamp(later, clock_of(zone))
    ends = (f"{end:%Y-%m-%d}", f"{end:%Y-%m-%dT%H:%M}", f"{end:%Y-%m-%dT%H:%M:%S}", f"{end:%Y%m%d}")
    return Asked(start=start, interval=interval, finish=random.choice((*ends, f"{later}", f"{later}000")))


def local_day(random: Random, zone: str, now: float) -> date:
    """Lately, long ago, tomorrow; or beside a change of the clock."""
    ago = int(random.choice((0, DAY, 8 * DAY, 80 * DAY, 800 * DAY, -DAY)) * random.random())
    day = datetime.fromtimestamp(now - ago, clock_of(zone)).date()
    changed = changes(zone, day.year)
    if changed and random.random() < 0.3:
        day = datetime.fromtimestamp(random.choice(changed), clock_of(zone)).date() - timedelta(random.randrange(2))
    return day
