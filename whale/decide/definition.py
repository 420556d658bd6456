"""Managed decisions: what somebody defined under a name, checked, and how it changes. Pure.

A decision is defined by its options and their values, who gets which (a fixed split by weights, or a policy that learns), what is
measured, and the share of visitors that is held out. A change of any of these begins a new phase: what was counted before stays under
the old one, which is reported apart. Pausing, a winner, archiving, a description and what is known of visitors begin none.

Each change makes a new revision. Who names the revision that he has seen changes nothing that somebody else changed since.
"""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hail.hit import HitError, Reason, name_of
from hail.meant import near
from hail.settings import Settings
from whale.answer.explain import iso
from whale.decide import policy, split
from whale.decide.exploration import BAD_IDEA, EPSILON, EXPLORATION, FLOOR, MIN_TRIALS, PARAMETERS, TEST_IDEA
from whale.decide.outcomes import PERIOD, half_life_of, ratio_of
from whale.decide.report import Report
from whale.dimension import Pk
from whale.errors import TYPES, CallerError, Conflict, expected_of
from whale.period import length_name, parse_period

TOP = "decisions"
"""What managed decisions count under: [decisions, name, phase, option]."""
SPLIT = "split"
SPLIT_VERSION = "split-1"
MAX_DESCRIPTION = 1000
MAX_NESTING = 32
_SURROGATES = re.compile("[\ud800-\udfff]")  # no Unicode text
MOST_DIMENSIONS = 64

Share = Annotated[float, Meta(ge=0, le=1)]
Rule = Literal["split", "thompson", "epsilon", "seed"]
Goal = Literal["max", "min"]
LEARNS = "requires a policy that learns: thompson, epsilon or seed"


class DecisionGiven(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Fields of a managed decision. An omitted field keeps its value."""

    options: Annotated[
        dict[str, Any] | list[str] | UnsetType,
        Meta(
            description="Options as {name: value} with any JSON values, or as a list of names that are their own values."
        ),
    ] = UNSET
    weights: Annotated[
        dict[str, float] | UnsetType,
        Meta(description="Weights for policy `split`, one per option. Omit for equal weights."),
    ] = UNSET
    policy: Annotated[
        Rule | UnsetType, Meta(description="Policy: split for fixed shares, or one that learns. Default: split.")
    ] = UNSET
    exploration: Annotated[Annotated[float, EXPLORATION.limits] | UnsetType, EXPLORATION.described] = UNSET
    floor: Annotated[Annotated[float, FLOOR.limits] | UnsetType, FLOOR.described] = UNSET
    epsilon: Annotated[Annotated[float, EPSILON.limits] | UnsetType, EPSILON.described] = UNSET
    min_trials: Annotated[Annotated[float, MIN_TRIALS.limits] | UnsetType, MIN_TRIALS.described] = UNSET
    bad_idea_threshold: Annotated[Annotated[float, BAD_IDEA.limits] | UnsetType, BAD_IDEA.described] = UNSET
    test_idea_threshold: Annotated[Annotated[float, TEST_IDEA.limits] | UnsetType, TEST_IDEA.described] = UNSET
    half_life: Annotated[
        str | float | UnsetType | None,
        Meta(
            description="For policies that learn: age at which an outcome weighs half, such as 7d. Use null for equal weights "
            "over the month."
        ),
    ] = UNSET
    by_metric: Annotated[
        str | UnsetType,
        Meta(description="Metric to judge options by: earned/spent, or earned, which means earned/hits."),
    ] = UNSET
    goal: Annotated[Goal | UnsetType, Meta(description="max if a high value is good, min if a low one is.")] = UNSET
    holdout: Annotated[
        Share | UnsetType, Meta(description="Share of visitors who get the default option and are reported separately.")
    ] = UNSET
    default: Annotated[
        str | UnsetType,
        Meta(description="Option for held-out visitors, and for all while paused. Default: the first option."),
    ] = UNSET
    paused: Annotated[
        bool | UnsetType, Meta(description="true gives everyone the default option and counts nothing.")
    ] = UNSET
    winner: Annotated[
        str | UnsetType | None, Meta(description="Option that everyone gets. Use null for no winner.")
    ] = UNSET
    archived: Annotated[bool | UnsetType, Meta(description="true stops the decision; its reports remain readable.")] = (
        UNSET
    )
    dimensions: Annotated[
        list[str] | UnsetType | None,
        Meta(description="Top-level dimensions of the context to use and count. Use null for all."),
    ] = UNSET
    description: str | UnsetType = UNSET
    public: Annotated[
        bool | UnsetType,
        Meta(description="true lets pages decide, and say what it earned, by a browser key. Default: false."),
    ] = UNSET
    reshuffle: Annotated[
        bool, Meta(description="true reassigns all visitors at random, instead of as few as possible.")
    ] = False
    revision: Annotated[
        int | None,
        Meta(
            description="Revision that you read, or 0 for a new decision. If the current one differs, the answer is 409 and "
            "nothing changes."
        ),
    ] = None


class Phase(msgspec.Struct, kw_only=True, frozen=True):
    """What held from `started` until `ended` (epoch seconds; None: still). shares: of a split, by option."""

    number: int
    started: float
    ended: float | None = None
    options: list[str]
    policy: str
    exploring: dict[str, float]
    shares: dict[str, float] | None
    by_metric: str
    goal: Goal
    holdout: float
    default: str
    half_life_s: float | None = None


class Definition(msgspec.Struct, kw_only=True, frozen=True):
    """A decision as it is kept. phases: the oldest first, the last one holds.  runs: the slots of a split, salt: of its hash."""

    name: str
    revision: int
    options: dict[str, Any]
    weights: dict[str, float]
    policy: Rule
    exploring: dict[str, float]
    by_metric: str
    goal: Goal
    holdout: float
    default: str
    paused: bool
    winner: str | None
    archived: bool
    dimensions: list[str] | None
    description: str
    created: float
    changed: float
    salt: str
    runs: list[tuple[str, int]]
    phases: list[Phase]
    half_life_s: float | None = None
    public: bool = False

    @property
    def phase(self) -> Phase:
        return self.phases[-1]

    @property
    def state(self) -> Literal["archived", "decided", "paused", "running"]:
        if self.archived:
            return "archived"
        return "decided" if self.winner is not None else "paused" if self.paused else "running"

    def shares(self) -> dict[str, float]:
        """Of a split: the share of slots that each option has."""
        found = dict.fromkeys(self.options, 0)
        for option, count in self.runs:
            found[option] += count
        return {option: count / split.SLOTS for option, count in found.items()}

    def is_held_out(self, visitor: str) -> bool:
        return split.share_of("holdout", self.name, visitor) < self.holdout

    def place_of(self, visitor: str) -> float:
        """Where a visitor lies among the slots of a split, in [0, 1)."""
        return split.share_of("split", self.name, self.salt, visitor)


class PhaseShown(msgspec.Struct, kw_only=True):
    """A phase of a managed decision. Times are ISO 8601 in UTC."""

    number: int
    started: str
    ended: str | None
    options: list[str]
    policy: str
    half_life: str | None
    shares: dict[str, float] | None
    by_metric: str
    goal: str
    holdout: float
    default: str


class Shown(msgspec.Struct, kw_only=True):
    """A managed decision. state: running, paused, decided (it has a winner) or archived. phases: the oldest first."""

    name: str
    revision: int
    state: str
    options: dict[str, Any]
    weights: dict[str, float]
    policy: str
    exploration: dict[str, float]
    half_life: str | None
    by_metric: str
    goal: str
    holdout: float
    default: str
    winner: str | None
    dimensions: list[str] | None
    description: str
    public: bool
    created: str
    changed: str
    phases: list[PhaseShown]


class Reporting(msgspec.Struct, kw_only=True):
    """The answer of GET /decisions/NAME: the decision, and the report of one phase."""

    decision: Shown
    phase: PhaseShown
    report: Report


def decision_shown(definition: Definition) -> Shown:
    """Without what deals visitors out."""
    fields = {name: getattr(definition, name) for name in Shown.__struct_fields__ if hasattr(definition, name)}
    fields |= {
        "exploration": definition.exploring,
        "half_life": _half_life_shown(definition.half_life_s),
        "created": iso(definition.created),
        "changed": iso(definition.changed),
        "phases": [phase_shown(phase) for phase in definition.phases],
    }
    return Shown(**fields)


def phase_shown(phase: Phase) -> PhaseShown:
    fields = {name: getattr(phase, name) for name in PhaseShown.__struct_fields__ if hasattr(phase, name)}
    fields |= {"started": iso(phase.started), "ended": None if phase.ended is None else iso(phase.ended)}
    return PhaseShown(**fields, half_life=_half_life_shown(phase.half_life_s))


def _half_life_shown(seconds: float | None) -> str | None:
    return None if seconds is None else length_name(seconds)


def pk_of(name: str, phase: int, is_held_out: bool = False) -> Pk:
    """What a phase counts under; its options are the pks one level below."""
    return TOP, name, f"{phase} held out" if is_held_out else str(phase)


def policy_of(phase: Phase) -> policy.Policy:
    """Of a phase that learns."""
    return policy.Policy.of(phase.policy, phase.goal, phase.exploring)


_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Definition).decode


def text_of(definition: Definition) -> bytes:
    return _encode(definition)


def definition_of(text: bytes) -> Definition:
    return _decode(text)


def given_of(fields: Any) -> DecisionGiven:
    """Checked as far as types go: a body that was decoded, or what the library was called with. Raises CallerError."""
    try:
        return msgspec.convert(fields, DecisionGiven)
    except msgspec.ValidationError as error:
        raise _said(error, fields) from None


CHOICES: dict[str, tuple[str, ...]] = {"policy": get_args(Rule), "goal": get_args(Goal)}


def _said(error: msgspec.ValidationError, fields: Any) -> CallerError:
    said, _, where = str(error).partition(" - at `")
    where = where.rstrip("`").removeprefix("key` in `").removeprefix("$").removeprefix(".")
    if said.startswith("Object contains unknown field"):
        unknown = said.removeprefix("Object contains unknown field `").rstrip("`")
        names = ", ".join(DecisionGiven.__struct_fields__)
        known = near(unknown[:60].lower(), DecisionGiven.__struct_fields__, 0.7)
        hint = f"did you mean {known}?" if known else f"expected {names}"
        return CallerError(f"is not a field here: {hint}", ascii(unknown[:60])[1:-1])
    if said.startswith("Invalid enum value ") and where in CHOICES:
        came = said.removeprefix("Invalid enum value ")
        return CallerError(f"expected one of {', '.join(CHOICES[where])}, got {came[:60]}", where)
    if (limits := _limits(where)) and "`float` " in said:
        number = fields[where] if isinstance(fields, Mapping) else None
        return CallerError(f"expected a number {limits}, got {number}", where)
    if expected := expected_of(error):
        came = said.rpartition(", got ")[2].strip("`")
        said = f"expected {expected}, got {TYPES.get(came, came)}"
    else:
        said = said.replace("Expected", "expected").replace("Invalid", "expected another").replace("`", "")
    if where == "weights[...]" and isinstance(fields, Mapping):
        where = next(
            (f"weights.{ascii(name)[1:-1][:60]}" for name, w in fields["weights"].items() if not _is_number(w)), where
        )
    return CallerError(said, where)


def _limits(field: str) -> str:
    return "from 0 to 1" if field == "holdout" else next((each.unit for each in PARAMETERS if each.name == field), "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def changed(name: str, old: Definition | None, given: DecisionGiven, settings: Settings, now: float) -> Definition:
    """The definition that a change makes, of none the first; the same where nothing changes.

    Raises CallerError with the field; Conflict where another revision is there than the one that was named.
    """
    there = old.revision if old else 0
    if given.revision is not None and given.revision != there:
        raise Conflict(
            f"expected revision {there}, got {given.revision}: someone changed it in between", "revision", old
        )
    if old is None and given.options is UNSET:
        raise CallerError("expected {name: value}, or a list of names, got nothing", "options")
    options = _options(given.options, settings) if given.options is not UNSET else dict(old.options if old else {})
    if old is not None and options.keys() == old.options.keys():
        options = {option: options[option] for option in old.options}  # another order is no change
    weights = given.weights if given.weights is not UNSET else dict(old.weights if old else {})
    rule: Rule = old.policy if old and given.weights is UNSET else "split"
    if given.policy is not UNSET:
        rule = given.policy
    if rule != SPLIT and given.weights is not UNSET and weights:
        raise CallerError("require policy split", "weights")
    weights = _weights(weights, options) if rule == SPLIT else {}
    exploring = _exploring(old, given, rule)
    half_life_s = _half_life(old, given, rule, settings, now)
    by_metric = _kept(given.by_metric, old and old.by_metric, "value/hits")
    ratio_of(by_metric, "by_metric")
    default = _kept(given.default, old and old.default, next(iter(options)))
    winner = given.winner if given.winner is not UNSET else old.winner if old else None
    for field, option in (("default", default), ("winner", winner)):
        if option is not None and option not in options:
            if getattr(given, field) is UNSET:
                raise CallerError(f"{ascii(option)[:60]} is not among the new options: send `{field}` too", field)
            raise CallerError(f"expected one of the options, got {ascii(option)[:60]}", field)
    dimensions = (
        _dimensions(given.dimensions, settings) if given.dimensions is not UNSET else old.dimensions if old else None
    )
    description = _kept(given.description, old and old.description, "")
    if not _is_text(description):
        raise CallerError("expected Unicode text", "description")
    if len(description) > MAX_DESCRIPTION:
        raise CallerError(f"expected at most {MAX_DESCRIPTION} characters, got {len(description)}", "description")
    holdout = _kept(given.holdout, old and old.holdout, 0.0)
    goal = _kept(given.goal, old and old.goal, "max")
    runs: split.Runs = []
    salt = old.salt if old else "1"
    number = (old.phase.number if old else 0) + 1
    if given.reshuffle:
        salt = str(number)
    if rule == SPLIT:
        slots = split.dealt(weights or dict.fromkeys(options, 1.0))
        for option, count in slots.items():
            if not count and weights.get(option):
                raise CallerError(
                    f"expected 0, or at least 1/{split.SLOTS} of the sum", f"weights.{ascii(option)[1:-1][:60]}"
                )
        runs = split.moved([] if old is None or given.reshuffle else old.runs, slots)
    new = Definition(
        name=name,
        revision=there + 1,
        options=options,
        weights=weights,
        policy=rule,
        exploring=exploring,
        by_metric=by_metric,
        goal=goal,
        holdout=holdout,
        default=default,
        paused=_kept(given.paused, old and old.paused, False),
        winner=winner,
        archived=_kept(given.archived, old and old.archived, False),
        dimensions=dimensions,
        description=description,
        created=old.created if old else now,
        changed=now,
        salt=salt,
        runs=runs,
        phases=old.phases if old else [],
        half_life_s=half_life_s,
        public=_kept(given.public, old and old.public, False),
    )
    if old is not None and _same(new, old, "revision", "changed"):
        return old
    if old is None or not _same(new, old, *NO_PHASE):
        new = _with_phase(new, number, settings, now)
    size = len(text_of(msgspec.structs.replace(new, runs=[], phases=[])))
    if size > settings.max_definition_bytes:
        raise CallerError(f"expected at most {settings.max_definition_bytes} bytes in all, got {size}", "options")
    return new


NO_PHASE = ("revision", "changed", "paused", "winner", "archived", "dimensions", "description", "public")
"""What may change within a phase."""


def _same(one: Definition, other: Definition, *but: str) -> bool:
    return all(
        _encode(getattr(one, field)) == _encode(getattr(other, field))
        for field in Definition.__struct_fields__
        if field not in but
    )


def _with_phase(new: Definition, number: int, settings: Settings, now: float) -> Definition:
    phases = [msgspec.structs.replace(each, ended=now) if each.ended is None else each for each in new.phases]
    phase = Phase(
        number=number,
        started=now,
        options=list(new.options),
        policy=new.policy,
        exploring=new.exploring,
        shares=new.shares() if new.policy == SPLIT else None,
        by_metric=new.by_metric,
        goal=new.goal,
        holdout=new.holdout,
        default=new.default,
        half_life_s=new.half_life_s,
    )
    return msgspec.structs.replace(new, phases=[*phases, phase][-max(1, settings.max_phases) :])


def _kept(given: Any, before: Any, default: Any) -> Any:
    return given if given is not UNSET else default if before is None else before


def _options(given: Any, settings: Settings) -> dict[str, Any]:
    found = dict.fromkeys(given) if isinstance(given, list) else dict(given)
    if not found:
        raise CallerError("expected at least one option, got none", "options")
    if len(found) > settings.max_options:
        raise CallerError(f"expected at most {settings.max_options}, got {len(found)}", "options")
    if len(found) < len(given):
        raise CallerError("an option is listed twice", "options")
    for name, value in found.items():
        if name_of(name, "options", settings, Reason.BAD_PK) != name:
            raise CallerError(f"expected names as text, got {ascii(name)[:60]}", "options")
        where = f"options.{ascii(name)[1:-1][:60]}"
        if isinstance(given, list):
            found[name] = name
            continue
        if not _is_json(value, MAX_NESTING):
            raise CallerError(f"expected JSON, at most {MAX_NESTING} levels deep", where)
    return found


def _is_json(value: Any, levels: int) -> bool:
    if isinstance(value, Mapping):
        return levels > 0 and all(_is_text(name) and _is_json(each, levels - 1) for name, each in value.items())
    if isinstance(value, list | tuple):
        return levels > 0 and all(_is_json(each, levels - 1) for each in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 64
    return value is None or _is_text(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not _SURROGATES.search(value)


def _weights(weights: Mapping[str, float], options: Mapping[str, Any]) -> dict[str, float]:
    if not weights:
        return {}
    for option, weight in weights.items():
        field = f"weights.{ascii(option)[1:-1][:60]}"
        if option not in options:
            raise CallerError("is no option", field)
        if not (math.isfinite(weight) and weight >= 0):
            raise CallerError(f"expected a number from 0 on, got {weight}", field)
    for option in options:
        if option not in weights:
            raise CallerError(f"expected one for each option, got none for {ascii(option)[:60]}", "weights")
    if not any(weights.values()):
        raise CallerError("expected at least one above 0", "weights")
    return {option: float(weights[option]) for option in options}


def _exploring(old: Definition | None, given: DecisionGiven, rule: str) -> dict[str, float]:
    found = dict(old.exploring) if old and old.policy == rule else {}
    for name in (parameter.name for parameter in PARAMETERS):
        value = getattr(given, name)
        if value is not UNSET:
            if rule == SPLIT:
                raise CallerError(LEARNS, name)
            found[name] = value
    if rule != SPLIT:
        policy.Policy.of(rule, policy.DEFAULT.goal, found)  # checks them
    return found


def _half_life(old: Definition | None, given: DecisionGiven, rule: str, settings: Settings, now: float) -> float | None:
    if given.half_life is UNSET:
        return old.half_life_s if old and rule != SPLIT else None
    if given.half_life is None:
        return None
    if rule == SPLIT:
        raise CallerError(LEARNS, "half_life")
    period = parse_period(PERIOD, now, settings.timezone, settings.periods, max_points=settings.max_points)
    return half_life_of(given.half_life, period)


def _dimensions(given: list[str] | None, settings: Settings) -> list[str] | None:
    if given is None:
        return None
    if len(given) > MOST_DIMENSIONS:
        raise CallerError(f"expected at most {MOST_DIMENSIONS}, got {len(given)}", "dimensions")
    try:
        return list(dict.fromkeys(name_of(name, "dimensions", settings, Reason.BAD_DIMENSIONS) for name in given))
    except HitError as error:
        raise CallerError(str(error).removeprefix("dimensions: "), "dimensions") from None
