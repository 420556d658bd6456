"""The advice in errors is true: that which it tells to write is then taken."""

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner

from hail.formats.posted import hit_of_json
from hail.hit import HitError, parse_decided, parse_hit
from hail.settings import SettingsError, load
from hail.unreadable import Summary
from tests.unit.test_managed import Door
from whale.cli import main
from whale.decide.definition import changed, given_of
from whale.errors import CallerError, FormulaError
from whale.formula import parse_formula
from whale.period import parse_period

NOW = 1_795_000_000.0
SETTINGS = load({})


def refused_by(call: Any, *args: Any) -> str:
    with pytest.raises((HitError, CallerError)) as refused:
        call(*args)
    return str(refused.value)


@pytest.fixture
def door() -> Door:
    return Door()


def detail(answer: Any) -> str:
    assert answer.status == 400, answer.text
    return str(answer.json["detail"])


def test_a_misspelt_field_of_an_outcome_is_told_the_one_that_was_meant() -> None:
    said = refused_by(parse_decided, {"pk": "buy", "decisoin": "colour", "option": "red"}, SETTINGS, NOW)
    assert said == "decisoin: is not a field of a hit: did you mean decision?"
    said = refused_by(parse_decided, {"pk": "buy", "zzz": "colour", "option": "red"}, SETTINGS, NOW)
    assert said.endswith("event, properties, basis, decision, option")
    assert parse_decided({"pk": "buy", "decision": "colour", "option": "red"}, SETTINGS, NOW).pk[1:] == (
        "colour",
        "red",
    )


@pytest.mark.parametrize(("text", "written"), [(".1", "0.1"), ("1.", "1"), ("0x1", None), ("many", None)])
def test_a_number_that_json_writes_otherwise_is_told_how(door: Door, text: str, written: str | None) -> None:
    said = detail(door.get("/decide", pk="a", options="a", epsilon=text))
    assert said == f"epsilon: expected a number, got {text!r}" + (f": write {written}" if written else "")
    if written:
        assert door.get("/decide", pk="a", options="a", epsilon=written).status == 200


@pytest.mark.parametrize("field", ["holdout", "exploration", "floor", "epsilon"])
def test_a_share_out_of_range_is_told_its_range(door: Door, field: str) -> None:
    given = {"options": ["a", "b"], field: 2, **({"policy": "thompson"} if field != "holdout" else {})}
    assert refused_by(given_of, given) == f"{field}: expected a number from 0 to 1, got 2"


def test_new_options_without_the_old_default_or_winner_say_what_to_send() -> None:
    old = changed("buy", None, given_of({"options": ["one page", "two"]}), SETTINGS, NOW)
    said = refused_by(changed, "buy", old, given_of({"options": ["three"]}), SETTINGS, NOW)
    assert said == "default: 'one page' is not among the new options: send `default` too"
    assert changed("buy", old, given_of({"options": ["three"], "default": "three"}), SETTINGS, NOW).default == "three"
    said = refused_by(changed, "buy", old, given_of({"default": "three"}), SETTINGS, NOW)
    assert said == "default: expected one of the options, got 'three'"


def test_a_misspelt_decision_is_told_the_one_that_was_meant(door: Door) -> None:
    door.define("buy-button", options=["a", "b"])
    said = detail(door.get("/decide", pk="buy-buton", visitor="x"))
    assert said == "options: no managed decision 'buy-buton': did you mean buy-button?"
    said = detail(door.get("/decide", pk="zzz", visitor="x"))
    assert said == "options: no managed decision 'zzz'; expected at least one option, or a managed decision as pk"


def test_lists_and_names_side_by_side_are_told_how_to_write_the_name() -> None:
    given: Any = [["country", "US"], "device"]
    said = refused_by(parse_hit, {"pk": "a", "dimensions": given}, SETTINGS, NOW)
    assert said == "dimensions: expected either names or lists, not both: write [\"device\"] for the path 'device'"
    given[1] = json.loads(re.findall(r"\[.*?\]", said)[0])
    assert parse_hit({"pk": "a", "dimensions": given}, SETTINGS, NOW).dimensions == {
        "country": {"US": {}},
        "device": {},
    }


def test_values_are_shown_as_json_has_them() -> None:
    assert refused_by(parse_hit, {"pk": [None]}, SETTINGS, NOW).endswith("got null")
    assert refused_by(parse_hit, {"pk": "a", "metrics": {"x": True}}, SETTINGS, NOW).endswith("got true")
    assert refused_by(parse_hit, {"pk": "a", "at": False}, SETTINGS, NOW).endswith("got false")
    assert refused_by(hit_of_json, b"[]", SETTINGS, NOW) == (
        "body: expected a hit as an object, got a list; send a list of hits to /batch"
    )
    assert refused_by(hit_of_json, b"3", SETTINGS, NOW).endswith("got a number")


def test_setting_a_count_names_what_is_true_there(door: Door) -> None:
    whale = door.whale
    said = refused_by(lambda: whale.update_count_to("a", None, {"x": 1}, at="2999-01-01"))
    assert said == "at: expected 1900 to now, got '2999-01-01'"
    assert refused_by(lambda: whale.update_count_to("a", None, {"x": 1}, at="soon")).startswith("at: expected epoch")
    said = refused_by(lambda: whale.update_count_to("a", None, {"x": 1}, "today"))
    assert said.endswith("did you mean 1d? Send the time of the bucket as `at`")
    assert whale.update_count_to("a", None, {"x": 1}, "1d") == {"x": 1}
    said = refused_by(lambda: whale.update_count_to("a", [None], {"x": 1}))
    assert said == "dimensions: a null is not allowed here: leave the name out"


def test_a_function_that_does_not_exist_is_told_those_that_do() -> None:
    said = refused_by(parse_formula, "foo(hits)")
    assert said.startswith(
        "metrics: expected an operator + - * / or the end (the functions are ma and p, such as ma7(...) and p50(...)) at"
    )
    for text in ("ma7(hits)", "p50(price)", "ma30(hits)", "p99(price)"):
        parse_formula(text)
    with pytest.raises(FormulaError, match=r"or \) \(the functions are"):
        parse_formula("(foo(hits))")


def test_one_more_is_one() -> None:
    said: list[str] = []
    clock = [0.0]
    unreadable = Summary(said.append, lambda: clock[0])
    unreadable.note("first")
    unreadable.note("second")
    unreadable.end()
    assert said[-1] == "1 more unreadable request since the last such line"


def asked(text: str) -> Any:
    return parse_period(text, NOW, "UTC", SETTINGS.periods)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("2h:1d", "ask by 1h"),
        ("2mo:1y", "ask by 1mo"),
        ("1mo:3", "write 3mo"),
        ("15m:4", "write 15m:60m"),
        ("1h:5", "write 5h"),
        ("last_5h", "did you mean 5h?"),
        ("last 3 months", "did you mean 3mo?"),
        ("last_30m", "did you mean 1m:30m?"),
        ("last30days", "did you mean last_30d?"),
        ("5m:1y", "ask by day or shorten the range"),
        ("1m:5d", "ask by 15m"),
        ("1h:180d", "ask by 1d"),
    ],
)
def test_advice_about_a_period_is_answered(text: str, advice: str) -> None:
    said = refused_by(asked, text)
    assert said.endswith(advice), said
    written = advice.removesuffix(" or shorten the range").rstrip("?").split()[-1].replace("day", "1d")
    assert asked(written if ":" in written or "ask" not in advice else f"{written}:{text.split(':')[1]}").points > 0


@pytest.mark.parametrize("interval", ["1m", "5m", "7m", "15m", "2h", "1h", "1d", "2mo"])
@pytest.mark.parametrize("length", ["1d", "7d", "60d", "200d", "1y", "5y", "90y"])
def test_an_interval_that_is_advised_is_answered(interval: str, length: str) -> None:
    text = f"{interval}:{length}"
    for _ in range(2):
        try:
            asked(text)
            return
        except CallerError as error:
            found = re.search(r"ask by (\w+)", str(error))
            if not found:
                return
            words = {"minute": "1m", "hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "year": "1y"}
            text = f"{words.get(found[1], found[1])}:{length}"
    asked(text)


def test_a_week_begins_with_monday_or_sunday() -> None:
    said = refused_by(asked, "wtd|friday")
    assert said == "tz: expected a zone, or monday or sunday as the day that weeks begin with, got 'friday'"
    assert asked("wtd|sunday").points
    assert asked("wtd|monday").points


def test_a_comparison_with_hours_that_are_gone_is_told_of_days(door: Door) -> None:
    door.whale.count_now("a")
    said = detail(door.get("/plotpoints", pk="a", period="today", compare="last_year"))
    assert said.endswith(": ask by 1d, for days that have ended, such as yesterday or last_7d")
    for period in ("yesterday", "last_7d"):
        assert door.get("/plotpoints", pk="a", period=period, compare="last_year").status == 200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["audit", "--wait", "x"], "expected a number, got 'x'"),
        (["audit", "--wait", "nan"], "expected a number, got 'nan'"),
        (["worker", "--threads", "x"], "expected a whole number, got 'x'"),
        (["import", ".", "--mapping", "examples/flights.toml"], ".: is a folder; give a file"),
    ],
)
def test_a_command_says_what_it_expected(words: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAILWHALE_REDIS_URL", "redis://127.0.0.1:1/0")
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert said in result.output


def test_a_redis_that_is_away_is_told_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAILWHALE_REDIS_URL", "redis://127.0.0.1:1/0")
    result = CliRunner().invoke(main, ["audit"])
    assert result.exit_code == 2
    assert result.output.endswith("Start Redis (`hailwhale up` does), or correct HAILWHALE_REDIS_URL.\n")


def test_the_setting_of_periods_shows_one_that_is_taken() -> None:
    with pytest.raises(SettingsError, match="expected pairs of seconds such as") as refused:
        load({"HAILWHALE_PERIODS": "daily"})
    example = re.findall(r"such as (.*), got", str(refused.value))[0]
    assert load({"HAILWHALE_PERIODS": example}).periods
