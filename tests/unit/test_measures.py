"""What the metrics of a pk measure, and on which days they were counted."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hail.settings import SettingsError, load
from whale.answer.measures import guessed
from whale.client import Whale
from whale.errors import CallerError
from whale.store.memory import MemoryStore

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
EXAMPLE = '{"revenue": {"unit": "money", "currency": "EUR"}, "hits": {"better": "none"}}'


def whale_with(now: float = NOW, **settings: str) -> Whale:
    in_force = load({f"HAILWHALE_{name.upper()}": value for name, value in settings.items()})
    return Whale(MemoryStore(in_force), in_force, clock=lambda: now)


def rows(whale: Whale, pk: Any = "shop", **more: Any) -> dict[str, dict[str, Any]]:
    found = whale.metrics_of(pk, info=True, **more)
    return {row.name: {name: getattr(row, name) for name in row.__struct_fields__} for row in found}


def test_a_metric_is_told_with_what_it_measures_and_when_it_was_counted() -> None:
    whale = whale_with()
    whale.count_now("shop", metrics={"revenue": 5}, at="2025-02-03T10:00Z")
    whale.count_now("shop", metrics={"visitors": "is_unique"}, visitor="ann", at="2026-11-24T10:00Z")
    whale.count_now("shop", metrics={"wait": {"quantile": 5}, "peak": {"max": 3}}, at="2026-11-25T10:00Z")
    assert [tuple(row.values()) for row in rows(whale).values()] == [
        ("hits", "sum", "count", None, "up", False, "2025-02-03", "2026-11-25"),
        ("revenue", "sum", "money", None, "up", False, "2025-02-03", "2025-02-03"),
        ("visitors", "distinct", "count", None, "up", False, "2026-11-24", "2026-11-24"),
        ("wait", "quantile", "seconds", None, "down", False, "2026-11-25", "2026-11-25"),
        ("peak", "max", "count", None, "none", False, "2026-11-25", "2026-11-25"),
    ]
    assert whale.metrics_of("shop") == ["hits", "revenue", "visitors", "wait", "peak"]
    assert whale.metrics_of("nobody", info=True) == []


@pytest.mark.parametrize(
    ("name", "kind", "unit", "currency", "better"),
    [
        ("hits", "sum", "count", None, "up"),
        ("orders", "sum", "count", None, "up"),
        ("revenue", "sum", "money", None, "up"),
        ("totalRevenueUSD", "sum", "money", "USD", "up"),
        ("cost_eur", "sum", "money", "EUR", "down"),
        ("time-on-page", "quantile", "seconds", None, "none"),
        ("latency", "quantile", "seconds", None, "down"),
        ("latency_ms", "quantile", "count", None, "down"),
        ("bytes_out", "sum", "bytes", None, "none"),
        ("error_rate", "last", "share", None, "down"),
        ("rate", "sum", "count", None, "up"),
        ("errors", "sum", "count", None, "down"),
        ("temperature", "last", "count", None, "none"),
        ("paid_visitors", "distinct", "count", None, "up"),
        ("<img src=x onerror=alert(1)>", "sum", "count", None, "up"),
    ],
)
def test_a_guess_follows_the_words_of_a_name_and_its_kind(
    name: str, kind: str, unit: str, currency: str | None, better: str
) -> None:
    found = guessed(name, kind)
    assert (found.unit, found.currency, found.better) == (unit, currency, better)


def test_what_is_declared_of_a_pk_holds_for_those_below_and_before_the_settings() -> None:
    whale = whale_with(metrics=EXAMPLE)
    whale.count_now(["shop", "berlin"], metrics={"revenue": 5, "orders": 1})
    whale.count_now("other", metrics={"revenue": 5})

    def said(pk: Any, name: str) -> tuple[Any, ...]:
        row = rows(whale, pk)[name]
        return row["unit"], row["currency"], row["better"], row["declared"]

    assert said("shop", "revenue") == said("other", "revenue") == ("money", "EUR", "up", True)
    assert said("shop", "hits") == ("count", None, "none", True)
    assert said("shop", "orders") == ("count", None, "up", False)
    whale.declare_metrics("shop", {"revenue": {"unit": "money", "currency": "USD", "better": "none"}})
    assert said(["shop", "berlin"], "revenue") == said("shop", "revenue") == ("money", "USD", "none", True)
    assert said("other", "revenue") == ("money", "EUR", "up", True)
    whale.declare_metrics(["shop", "berlin"], {"revenue": {"better": "down"}})
    assert said(["shop", "berlin"], "revenue") == ("money", None, "down", True)
    found = whale.declare_metrics(["shop", "berlin"], {"revenue": None, "later": {"unit": "bytes"}})
    assert {row.name: row.currency for row in found} == {"hits": None, "orders": None, "revenue": "USD"}
    whale.count_now("shop", metrics={"later": 1})
    assert said("shop", "later") == ("count", None, "up", False)
    whale.reset("shop")
    whale.count_now("shop", metrics={"revenue": 5})
    assert said("shop", "revenue") == ("money", "EUR", "up", True)


@pytest.mark.parametrize(
    ("metrics", "field", "said"),
    [
        (None, "metrics", "expected an object of declarations by metric, got None"),
        ({}, "metrics", "expected an object"),
        ({"a": "money"}, "metrics.a", "expected an object with unit, currency, better, got 'money'"),
        ({"a": {}}, "metrics.a", "expected at least one of unit, currency, better, got nothing"),
        ({"a": {"unit": "dollars"}}, "metrics.a.unit", "expected one of count, money, share, seconds, bytes, got 'dollars'"),
        ({"a": {"unit": ["money"]}}, "metrics.a.unit", "expected one of count"),
        ({"a": {"unit": None}}, "metrics.a.unit", "expected one of count"),
        ({"a": {"better": "yes"}}, "metrics.a.better", "expected one of up, down, none, got 'yes'"),
        ({"a": {"unit": "money", "currency": "usd"}}, "metrics.a.currency", "three capital letters of ISO 4217 such as USD, got 'usd'"),
        ({"a": {"unit": "money", "currency": 5}}, "metrics.a.currency", "expected three capital letters"),
        ({"a": {"currency": "USD"}}, "metrics.a.currency", "requires the unit money"),
        ({"a": {"unit": "share", "currency": "USD"}}, "metrics.a.currency", "requires the unit money"),
        ({"a": {"units": "money"}}, "metrics.a.units", "is not a field here: did you mean unit?"),
        ({"ok": {"unit": "count"}, "a": {"unit": "x"}}, "metrics.a.unit", "expected one of"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused_with_its_field_and_nothing_is_declared(
    metrics: Any, field: str, said: str
) -> None:
    whale = whale_with()
    whale.count_now("shop", metrics={"ok": 1})
    with pytest.raises(CallerError) as caught:
        whale.declare_metrics("shop", metrics)
    assert caught.value.field == field
    assert said in str(caught.value)
    assert not rows(whale)["ok"]["declared"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", 'HAILWHALE_METRICS: expected {"revenue"'),
        ("[]", 'HAILWHALE_METRICS: expected {"revenue"'),
        ("5", 'HAILWHALE_METRICS: expected {"revenue"'),
        ('{"a": "money"}', "HAILWHALE_METRICS: a: expected an object with unit, currency, better, got 'money'"),
        ('{"a": {"unit": "dollars"}}', "HAILWHALE_METRICS: a.unit: expected one of count, money, share, seconds, bytes, got 'dollars'"),
        ('{"a": {"currency": "USD"}}', "HAILWHALE_METRICS: a.currency: requires the unit money"),
        ("[" * 100_000, "HAILWHALE_METRICS: expected"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_read_stops_the_start(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"HAILWHALE_METRICS": text})
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def test_days_are_told_in_the_zone_of_the_question_and_enclose_what_was_counted() -> None:
    whale = whale_with(timezone="America/New_York")
    whale.count_now("shop", at="2026-11-02T02:00-05:00")
    whale.count_now("shop", at="2026-11-20T23:00-05:00")

    def days(**more: Any) -> tuple[str, str]:
        row = rows(whale, **more)["hits"]
        return row["first_seen"], row["last_seen"]

    assert days() == days(tz="America/New_York") == ("2026-11-02", "2026-11-20")
    assert days(tz="Asia/Tokyo") == ("2026-11-02", "2026-11-21")
    assert days(tz="America/Los_Angeles") == ("2026-11-01", "2026-11-20")
    assert days(tzoffset="+0000") == ("2026-11-02", "2026-11-21")
    for wrong in ({"tz": "Mars/Olympus"}, {"tzoffset": "east"}, {"tz": "UTC", "tzoffset": "+0000"}):
        with pytest.raises(CallerError):
            rows(whale, **wrong)


def test_the_last_day_is_never_one_that_is_ahead() -> None:
    whale = whale_with(now=datetime(2026, 11, 26, 1, tzinfo=UTC).timestamp())
    whale.count_now("shop")
    assert rows(whale, tz="Asia/Tokyo")["hits"]["last_seen"] == "2026-11-26"
    assert rows(whale, tz="America/New_York")["hits"]["last_seen"] == "2026-11-25"


@pytest.mark.parametrize(
    ("periods", "first", "last"),
    [
        ("((3600, 864000), (86400, None))", "2015-06-17", "2026-11-20"),
        ("((3600, 864000), (86400, 864000), ('1mo', None))", "2026-11-20", "2026-11-20"),
        ("((3600, 864000), (86400, 86400), ('1mo', None))", None, None),
        ("((3600, None), ('1mo', None))", None, None),
        ("((86400, None), ('1mo', 864000))", "2015-06-17", "2026-11-20"),
    ],
)
def test_days_are_those_that_are_still_kept(periods: str, first: str | None, last: str | None) -> None:
    whale = whale_with(periods=periods)
    whale.count_now("shop", metrics={"visitors": "is_unique"}, visitor="a", at="2015-06-17T10:00Z")
    whale.count_now("shop", metrics={"visitors": "is_unique"}, visitor="a", at="2026-11-20T10:00Z")
    for name in ("hits", "visitors"):
        row = rows(whale)[name]
        assert (row["first_seen"], row["last_seen"]) == (first, last), name


def test_a_month_that_was_set_without_its_days_does_not_hide_the_days_beside_it() -> None:
    whale = whale_with()
    whale.update_count_to("shop", metrics={"revenue": 100}, period="1mo", at="2026-08-01", id="a")
    whale.update_count_to("shop", metrics={"revenue": 100}, period="1mo", at="2026-11-01", id="b")
    whale.count_now("shop", metrics={"revenue": 5}, at="2026-09-10T00:00Z")
    row = rows(whale)["revenue"]
    assert (row["first_seen"], row["last_seen"]) == ("2026-09-10", "2026-09-10")


def test_the_number_of_reads_does_not_grow_with_what_was_counted(tmp_path: Path) -> None:
    def reads(days: int) -> int:
        whale = whale_with()
        for day in range(1, days + 1):
            whale.count_now("shop", metrics={"a": 1, "b": 2, "c": 3}, at=f"20{day:02}-03-05T10:00Z")
        count = 0
        read = whale.store.read

        def counted(*args: Any) -> Any:
            nonlocal count
            count += 1
            return read(*args)

        whale.store.read = counted  # type: ignore[method-assign]  # of this one store, for one question
        whale.metrics_of("shop", info=True)
        return count

    assert reads(1) == reads(25) == 2
