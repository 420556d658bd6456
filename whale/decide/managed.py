"""Managed decisions: those that somebody defined by name (whale/decide/definition.py), decided and changed.

    name, visitor, context ── definition ──> winner | paused: the default | held out: the default | split: his slot | policy: learns

Promise: a definition is at most `decide_snapshot_s` old, and while the store is away the last one that was read holds. Then a split
answers as ever and a policy that learns the default, both without an id and uncounted. Winners and pauses are answered without the
store, and count nothing. Everything else is a decision like others: kept, sticky, rewarded once (whale/decide/decider.py).

Cost: as of a decision, and one small read every `decide_snapshot_s`; of several at once, for one visitor, not more round trips.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

from hail.hit import Dimensions, Reason, name_of, parse_hit
from hail.meant import near
from hail.room import COST, MEGABYTE, Bounded
from hail.settings import Settings
from whale.decide import split
from whale.decide.decider import Asked, Decider, Decision
from whale.decide.definition import (
    SPLIT,
    SPLIT_VERSION,
    TOP,
    Definition,
    changed,
    definition_of,
    given_of,
    pk_of,
    policy_of,
    text_of,
)
from whale.decide.outcomes import ratio_of
from whale.decide.policy import Choice
from whale.dimension import Pk
from whale.errors import Conflict, NotFound, Unavailable
from whale.store.contract.decisions import no_decision
from whale.store.contract.definitions import Defined, Definitions

HOLDOUT_VERSION = "holdout-1"
TRIES = 5
DEFINITIONS_MB = 64

Why = Literal["winner", "paused", "held out", "split", "policy", "default"]


@dataclass(frozen=True)
class Answer:
    """What a visitor gets. decision: of a winner or a pause without an id and a probability.

    why: `default` where the store is away and a policy cannot learn.  has_context: whether anything was known of the visitor.
    """

    definition: Definition
    decision: Decision
    why: Why
    has_context: bool

    @property
    def value(self) -> Any:
        return self.definition.options[self.decision.option]


class Managed:
    """For many threads. store: what waits for changes; those who decide use the decider's, which soon gives up."""

    def __init__(
        self,
        store: Definitions,
        settings: Settings,
        account: str,
        clock: Callable[[], float],
        decider: Callable[[], Decider],
    ):
        self._slow, self._settings, self._account, self._clock = store, settings, account, clock
        self._decider = decider
        self._known: Bounded[tuple[str, str | None], tuple[float, dict[str, Definition], int]] = Bounded(
            "definitions", DEFINITIONS_MB * MEGABYTE, lambda _, found: 10 * COST * (1 + len(found[1])) + 3 * found[2]
        )

    def of(self, account: str, decider: Callable[[], Decider]) -> "Managed":
        """The same for another account: what is remembered is kept in one place, by account."""
        managed = copy(self)
        managed._account, managed._decider = account, decider
        return managed

    # definitions

    def named(self, name: Any) -> str:
        """A name of a decision, checked."""
        return name_of(name, "name", self._settings, Reason.BAD_PK)

    def definition(self, name: str) -> Definition:
        """As it is now; raises NotFound."""
        found = self._slow.definitions(self._account, [name]).get(name)
        if found is None:
            raise NotFound(f"no decision {ascii(name)[:60]} is defined", "name")
        return definition_of(found.text)

    def definitions(self) -> list[Definition]:
        """All, as they are now, by name."""
        return [definition_of(found.text) for _, found in sorted(self._slow.definitions(self._account).items())]

    def define(self, name: str, fields: Any) -> Definition:
        """Defines a decision, or changes one. Raises CallerError; Conflict with the definition that is there."""
        given = given_of(fields)
        for _ in range(TRIES):
            there = self._slow.definitions(self._account, [name]).get(name)
            old = definition_of(there.text) if there else None
            new = changed(name, old, given, self._settings, self._clock())
            if new is old:
                return new
            text = text_of(new)
            kept = self._slow.define(self._account, name, old.revision if old else 0, Defined(new.revision, text))
            if kept is not None and kept.text == text:
                self._known.clear()
                return new
            if given.revision is not None:
                current = definition_of(kept.text) if kept else None
                raise Conflict("someone changed it in between", "revision", current)
        raise Unavailable(f"decision {name} was changed {TRIES} times by others during this change: try again")

    # decisions

    def running(self) -> list[Definition]:
        """Those that decide: all that are not archived, by name, at most `decide_snapshot_s` old."""
        found = self._read(None)
        return [found[name] for name in sorted(found) if not found[name].archived]

    def find(self, name: str) -> Definition | None:
        """One that decides, at most `decide_snapshot_s` old."""
        found = self._read(name).get(name)
        return None if found is None or found.archived else found

    def public(self, name: str) -> Definition | None:
        """One that decides for pages too."""
        found = self.find(name)
        return found if found and found.public else None

    def pk_of(self, decision_id: str) -> Pk:
        """What a decision was about; raises CallerError where there is no such one."""
        return self._decider().pk_of(decision_id)

    def check_public(self, decision_id: str) -> None:
        """Raises CallerError, in the same words, where there is no such decision and where it is not public."""
        top, *names = self.pk_of(decision_id)
        if top != TOP or not names or self.public(names[0]) is None:
            raise no_decision(decision_id)

    def unknown(self, name: str) -> str:
        """A sentence about a name of which no decision runs, with the one that it is near to."""
        meant = near(name, (each.name for each in self.running()))
        return f"no managed decision {ascii(name)[:60]}{f': did you mean {meant}?' if meant else ''}"

    def decide(self, definition: Definition, visitor: str | None, context: Any) -> Answer:
        """What a visitor gets. context: as the dimensions of a hit. Raises HitError, CallerError."""
        return self.decide_each([definition], visitor, context)[0]

    def decide_each(self, definitions: Sequence[Definition], visitor: str | None, context: Any) -> list[Answer]:
        """`decide` of several, in as many round trips as one takes."""
        planned = [self._planned(definition, visitor, context) for definition in definitions]
        questions = [(plan.asked, plan.choice) for plan in planned if isinstance(plan, _Plan)]
        decisions = iter(self._decider().decide_each(questions))
        return [
            _answer(definition, plan, next(decisions)) if isinstance(plan, _Plan) else plan
            for definition, plan in zip(definitions, planned, strict=True)
        ]

    def _planned(self, definition: Definition, visitor: str | None, context: Any) -> "Answer | _Plan":
        if definition.winner is not None:
            return _fixed(definition, definition.winner, "winner")
        if definition.paused:
            return _fixed(definition, definition.default, "paused")
        phase, decider = definition.phase, self._decider()
        if visitor is None:
            is_held_out = definition.holdout > 0 and decider.random.random() < definition.holdout
        else:
            is_held_out = definition.is_held_out(visitor)
        pk = pk_of(definition.name, phase.number, is_held_out)
        tree = self._tree(definition, context)
        ratio = ratio_of(definition.by_metric, "by_metric")
        measured = ratio.reward if ratio.base == "hits" and not is_held_out else ""
        asked = Asked(
            pk, phase.options, tree, ratio, visitor=visitor, default=phase.default, is_trial=True, off_policy=measured
        )
        if is_held_out:
            choice = Choice(phase.default, 1.0, [1.0], (), HOLDOUT_VERSION)
            return _Plan(replace(asked, options=[phase.default]), "held out", choice)
        if definition.policy == SPLIT:
            share = decider.random.random() if visitor is None else definition.place_of(visitor)
            option = split.option_at(definition.runs, share)
            shares = definition.shares()
            choice = Choice(option, shares[option], [shares[each] for each in phase.options], (), SPLIT_VERSION)
            return _Plan(replace(asked, default=option), "split", choice)
        return _Plan(replace(asked, policy=policy_of(phase), half_life_s=phase.half_life_s), "policy", None)

    def _tree(self, definition: Definition, context: Any) -> Dimensions:
        if definition.dimensions is not None and isinstance(context, dict):
            context = {name: context[name] for name in definition.dimensions if name in context}
        tree = parse_hit({"pk": definition.name, "dimensions": context}, self._settings, self._clock()).dimensions
        if definition.dimensions is None:
            return tree
        return {name: below for name, below in tree.items() if name in definition.dimensions}  # a context may be a list

    def _read(self, name: str | None) -> dict[str, Definition]:
        now, decider = self._clock(), self._decider()
        read, found, _ = self._known.get((self._account, name)) or (None, {}, 0)
        if read is not None and (now - read < self._settings.decide_snapshot_s or decider.is_away):
            return found
        try:
            texts = decider.store().definitions(self._account, None if name is None else [name])
        except Unavailable:
            decider.leave_alone()
            if read is None:
                raise
            return found
        known = {each: definition_of(kept.text) for each, kept in texts.items()}
        self._known.keep((self._account, name), (now, known, sum(len(kept.text) for kept in texts.values())))
        return known


@dataclass(frozen=True)
class _Plan:
    """What is asked of the store for a visitor. choice: made already; None: of the policy."""

    asked: Asked
    why: Why
    choice: Choice | None


def _answer(definition: Definition, plan: _Plan, decision: Decision) -> Answer:
    is_lost = decision.reason == "default" and plan.choice is None
    return Answer(definition, decision, "default" if is_lost else plan.why, bool(plan.asked.tree))


def _fixed(definition: Definition, option: str, why: Why) -> Answer:
    return Answer(definition, Decision(option, None, None, definition.policy, why), why, False)
