"""Decisions: which option this visitor should see. The door between the store and the policies of whale/decide/policy.py.

    Asked ── sticky? ──► Decision, as before
      └──── counters ──► Evidence ── choose ──► Choice ── keep ──► Decision     (counted as a trial in the background)

Promise: a decision that has an id is kept before it is answered, with the probability that it had. It can be rewarded: once without an id,
and once under each id. The store notes a reward, and the name of the message that is to count it, before that is counted; so who sends it
again has the same message counted, which counts once. A visitor who asks again while it is sticky gets the same. While the store is away,
the default that was declared is answered, within half a second, without an id, and is not counted; where none was declared, Unavailable.

Cost: one round trip for a visitor who has a decision. Else two more for the counters (three where an option was never counted), unless
they were read within `decide_snapshot_s`, and one to keep it; and once in LEARN_S a read of other values of the same dimensions. Never
more with more hits, and as many for several decisions at once.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgspec
import numpy as np

from hail.hit import Dimensions, Hit, Reason, name_of, parse_hit, with_moments
from hail.room import COST
from hail.settings import Settings
from whale.answer.cache import Cache, bytes_of
from whale.count.direct import Direct, Named
from whale.decide import off_policy, outcomes, policy
from whale.decide.evidence import Evidence
from whale.decide.outcomes import PERIOD, Decay, Judged, Ratio
from whale.decide.policy import Choice, Policy, Row
from whale.dimension import Path, Pk
from whale.errors import CallerError, Unavailable
from whale.period import Range, parse_period
from whale.store.contract.counters import Counters
from whale.store.contract.decisions import DIGEST, Decisions, Keeping, Kept, Reward, no_decision
from whale.store.contract.definitions import Definitions
from whale.store.contract.server import Server

HURRY_S = 0.1  # three tries of it, and a default is answered
AWAY_S = 1.0  # how long the store is left alone after that
SNAPSHOTS_MB = 16  # of what is remembered of counters; and as much of what was learnt of them
LEARN_S = 60.0  # how old it may be what was learnt of the dimensions of a decision
MOST_LEARNT, MOST_LEARNT_SUMS = 300, 3_000  # nodes, and nodes of all options, that it is learnt from

CountTrial = Callable[[str, Pk, str, Dimensions, float, Mapping[str, float], bool, str | None], None]


@dataclass(frozen=True)
class Asked:
    """One question, checked.

    pk: of the decision; its options are the pks one level below.  tree: the known context.  period: whose counters speak.
    half_life_s: how fast they weigh less as they get older; None: all weigh the same.
    default: what is answered while the store is away.  is_trial: whether the decision counts as a hit of its option.
    sticky_s: None for the setting.  off_policy: the metric whose off-policy estimate is counted too (decide/off_policy.py), if any.
    """

    pk: Pk
    options: Sequence[str]
    tree: Dimensions
    ratio: Ratio
    policy: Policy = policy.DEFAULT
    period: str = PERIOD
    half_life_s: float | None = None
    visitor: str | None = None
    default: str | None = None
    is_trial: bool = False
    sticky_s: float | None = None
    off_policy: str = ""

    @property
    def nodes(self) -> list[Path]:
        return outcomes.nodes_of(self.tree)


@dataclass(frozen=True)
class Decision:
    """An answer. reason: chosen, sticky, or default (the store is away: no probability, no id).

    evidence: what spoke for each option in the known context; of a sticky decision nothing is read, so nothing is shown.
    """

    option: str
    probability: float | None
    decision_id: str | None
    policy: str
    reason: str
    evidence: Sequence[Row] = ()


class Record(msgspec.Struct, array_like=True):
    """What is kept of a decision."""

    pk: Pk
    option: str
    probability: float
    policy: str
    at: float
    dimensions: dict[str, Any]
    is_trial: bool = False
    visitor: str | None = None
    off_policy: str = ""


_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Record).decode


class DecidingStore(Decisions, Definitions, Counters, Server, Protocol):
    """All that decisions ask of a store."""


class Decider:
    """For many threads. clock: epoch seconds.  nonce: a new name for a decision, that nobody can guess.

    rewards: what counts them, and remembers their names as long as decisions are kept.
    """

    def __init__(
        self,
        store: DecidingStore,
        settings: Settings,
        account: str,
        clock: Callable[[], float],
        random: np.random.Generator,
        nonce: Callable[[], str],
        count_trial: CountTrial,
        rewards: Direct,
        count_later: Callable[[str, Hit], None],
    ):
        self._slow, self._settings, self._account, self._clock = store, settings, account, clock
        self.random, self._nonce, self._count_trial = random, nonce, count_trial
        self._rewards, self._count_later = rewards, count_later
        self._soon = _Soon(store)
        self._departures = Cache(
            clock, "departures", SNAPSHOTS_MB, lambda learnt: bytes_of(list(map(str, learnt.variances)))
        )
        self._snapshots = Cache(clock, "snapshots", SNAPSHOTS_MB, _bytes_of)

    def decide(self, asked: Asked, choice: Choice | None = None) -> Decision:
        """The option for a visitor and a context; see the module. choice: made already, in place of the policy's.

        Raises CallerError, and Unavailable where there is no default.
        """
        return self.decide_each([(asked, choice)])[0]

    def decide_each(self, questions: Sequence[tuple[Asked, Choice | None]]) -> list[Decision]:
        """`decide` of several, of different pks, in as many round trips as one takes."""
        for asked, _ in questions:
            outcomes.check_options(asked.options)
            if asked.default is not None and asked.default not in asked.options:
                raise CallerError(f"expected one of the options, got {ascii(asked.default)[:60]}", "default")
        found = [_default(asked) if self.is_away else None for asked, _ in questions]
        waiting = [place for place, decision in enumerate(found) if decision is None]
        try:
            old: dict[int, str] = {}
            for place, kept in zip(waiting, self._kept([questions[place][0] for place in waiting]), strict=True):
                if kept is not None and kept.option in questions[place][0].options:
                    found[place] = kept
                elif kept is not None:
                    old[place] = str(kept.decision_id)
            waiting = [place for place in waiting if found[place] is None]
            choices = self._choices([questions[place] for place in waiting])
            makings = [
                (questions[place][0], choice, old.get(place, ""))
                for place, choice in zip(waiting, choices, strict=True)
            ]
            for place, made in zip(waiting, self._keep(makings), strict=True):
                found[place] = made
        except Unavailable:
            for place in waiting:
                found[place] = _default(questions[place][0])
            if None in found:
                raise
            self.leave_alone()
        return [decision for decision in found if decision is not None]

    def _kept(self, questions: Sequence[Asked]) -> list[Decision | None]:
        """The decisions that the visitors have."""
        visitors = [(asked.pk, asked.visitor) for asked in questions if asked.visitor is not None]
        kept = iter(self.store().decisions_of(self._account, visitors, self._clock()) if visitors else [])
        found = [None if asked.visitor is None else next(kept) for asked in questions]
        return [None if each is None else _again(each) for each in found]

    def _choices(self, questions: Sequence[tuple[Asked, Choice | None]]) -> list[Choice]:
        """What was chosen already, or what the policy says now; nothing is kept.

        A cost as spent/earned says nothing of what earned nothing yet, the worst: then the inverse is made great instead.
        """
        learning = [asked for asked, choice in questions if choice is None]
        evidence = self.evidence_of_each(learning)
        costs = [
            (place, replace(asked, ratio=Ratio(asked.ratio.base, asked.ratio.reward)))
            for place, (asked, found) in enumerate(zip(learning, evidence, strict=True))
            if asked.policy.goal == "min" and asked.ratio.base != "hits" and not (found.bases[:, 0] > 0).all()
        ]
        places = [place for place, _ in costs]
        inverses = dict(zip(places, self.evidence_of_each([asked for _, asked in costs]), strict=True))
        made = iter(
            self._choice(asked, found, inverses.get(place))
            for place, (asked, found) in enumerate(zip(learning, evidence, strict=True))
        )
        return [next(made) if choice is None else choice for _, choice in questions]

    def _choice(self, asked: Asked, evidence: Evidence, inverse: Evidence | None) -> Choice:
        known = evidence.bases[:, 0] > 0
        if inverse is not None and (knows := inverse.bases[:, 0] > 0).sum() > known.sum() and knows[known].all():
            choice = policy.choose(replace(asked.policy, goal="max"), inverse, self.random)
            return replace(choice, rows=[_inverted(row) for row in choice.rows])
        return policy.choose(asked.policy, evidence, self.random)

    def _keep(self, makings: Sequence[tuple[Asked, Choice, str]]) -> list[Decision]:
        """Keeps choices, each instead of a decision that the visitor had, and counts them; or gives what he got meanwhile."""
        if not makings:
            return []
        now = self._clock()
        keeping = [
            Keeping(
                asked.pk,
                asked.visitor,
                _encode(_record(asked, choice, now)),
                self._nonce(),
                self._settings.decision_sticky_s if asked.sticky_s is None else asked.sticky_s,
                instead_of,
            )
            for asked, choice, instead_of in makings
        ]
        kept = self.store().keep_decisions(self._account, keeping, now)
        return [
            self._counted(asked, choice, each, now) if each.id.endswith(f"-{kept_as.nonce}") else _again(each)
            for (asked, choice, _), kept_as, each in zip(makings, keeping, kept, strict=True)
        ]

    def _counted(self, asked: Asked, choice: Choice, kept: Kept, now: float) -> Decision:
        shares = dict(zip(asked.options, choice.probabilities, strict=True))
        self._count_trial(
            self._account, asked.pk, choice.option, asked.tree, now, shares, asked.is_trial, asked.visitor
        )
        if asked.off_policy:
            self._count_later(
                self._account,
                off_policy.tried(asked.pk, choice.option, choice.probability, int(now * 1000), self._settings),
            )
        rows = sorted(choice.rows, key=lambda row: row.option != choice.option)  # of the chosen option first
        return Decision(choice.option, choice.probability, kept.id, choice.version, "chosen", rows)

    def evidence(self, asked: Asked) -> Evidence:
        """What the counters say, at most `decide_snapshot_s` old."""
        return self.evidence_of_each([asked])[0]

    def evidence_of_each(self, questions: Sequence[Asked]) -> list[Evidence]:
        """`evidence` of several."""
        now = self._clock()
        keys = [_key(self._account, asked, asked.nodes) for asked in questions]
        known = {key: self._snapshots.find(key) for key in keys}
        missing = {key: asked for key, asked in zip(keys, questions, strict=True) if known[key] is None}
        learnt = [
            (_key(self._account, asked, dimensions), asked)
            for asked in missing.values()
            if (dimensions := _dimensions(asked))
        ]
        departures = {key: self._departures.find(key) for key, _ in learnt}
        unlearnt = {key: asked for key, asked in learnt if departures[key] is None}
        contexts = [(asked, asked.nodes) for asked in missing.values()]
        read = iter(self._read([*self._wholes(list(unlearnt.values())), *contexts]))
        for key in unlearnt:
            found = policy.departures(next(read))
            departures[key] = (found,)
            self._departures.keep(key, found, now + LEARN_S)
        for key, asked in missing.items():
            mine = departures.get(_key(self._account, asked, _dimensions(asked)))
            evidence = replace(next(read), departures=mine and mine[0])
            known[key] = (evidence,)
            self._snapshots.keep(key, evidence, now + self._settings.decide_snapshot_s)
        return [each[0] for key in keys if (each := known[key]) is not None]

    def _wholes(self, questions: Sequence[Asked]) -> list[tuple[Asked, Sequence[Path]]]:
        """The nodes that it is learnt from how much options differ by the dimensions of a context: of a country, from all countries."""
        if not questions:
            return []
        dimensions = [_dimensions(asked) for asked in questions]
        ask = [
            (asked.pk, (), max(level for _, level in mine)) for asked, mine in zip(questions, dimensions, strict=True)
        ]
        found: list[tuple[Asked, Sequence[Path]]] = []
        below = self.store().descendants_of(self._account, ask)
        for asked, mine, paths in zip(questions, dimensions, below, strict=True):
            nodes: list[Path] = [(), *(path for path in paths if (path[0], len(path)) in mine)]
            found.append((asked, nodes[: min(MOST_LEARNT, MOST_LEARNT_SUMS // len(asked.options))]))
        return found

    def _read(self, wanted: Sequence[tuple[Asked, Sequence[Path]]]) -> list[Evidence]:
        """What the counters say of some nodes each, at once for those of one period and half-life."""
        found: list[Evidence | None] = [None] * len(wanted)
        now = self._clock()
        for period, half_life_s in dict.fromkeys((asked.period, asked.half_life_s) for asked, _ in wanted):
            places = [
                place
                for place, (asked, _) in enumerate(wanted)
                if (asked.period, asked.half_life_s) == (period, half_life_s)
            ]
            judged = [
                Judged(asked.pk, asked.options, nodes, asked.ratio)
                for asked, nodes in (wanted[place] for place in places)
            ]
            limit, range_ = self._settings.max_points, self._range(period)
            decay = None if half_life_s is None else Decay(half_life_s, now)
            read = outcomes.evidence_of_each(self.store(), self._account, judged, range_, limit, decay)
            for place, evidence in zip(places, read, strict=True):
                found[place] = evidence
        return [evidence for evidence in found if evidence is not None]

    def reward(self, decision_id: str, metrics: Any, id: Any = None) -> bool:
        """Counts what a decision earned, at its option, its context and its time. False where this reward was counted before.

        id: a name of this reward, each of which counts once and adds to the others.
        Raises CallerError: no such decision, or one that has another reward under this id, or too many; HitError; Unavailable,
        then send it again: from then on it is known under which name it counts, so it counts once whoever counts it.
        """
        now = self._clock()
        kept = self._slow.decision(self._account, decision_id, now)
        if kept is None:
            raise no_decision(decision_id)
        record = _decode(kept.text)
        given = {
            "pk": [*record.pk, record.option],
            "dimensions": record.dimensions,
            "metrics": metrics,
        }
        hit = parse_hit(given, self._settings, min(record.at, now))
        earned = {name: amount for name, amount in hit.metrics.items() if name != "hits"}
        if hit.metrics["hits"] != 1 or not earned | (hit.others or {}):
            raise CallerError("expected metrics that the decision earned, such as {'value': 1}", "metrics")
        whose = "" if id is None else name_of(id, "id", self._settings, Reason.BAD_ID)
        said = msgspec.json.encode([sorted(earned.items()), hit.others])
        digest = hashlib.blake2b(said, digest_size=DIGEST // 2).hexdigest()
        hits = 1 + (record.off_policy in earned)
        # accepted with its trial: where a reset has forgotten that, the reward counts no more
        name = self._rewards.name(self._account, hits, record.at)
        reward = Reward(whose, digest, earned, name.publisher, name.seq, name.total, name.at_ms)
        try:
            begun = self._slow.begin_reward(self._account, decision_id, reward, now)
        except CallerError:
            self._rewards.unused(name, hits)
            raise
        counts_as = None
        if begun is not None:
            counts_as = Named(self._account, begun.publisher, begun.seq, begun.total, begun.at_ms)
        if counts_as != name:
            self._rewards.unused(name, hits)
        if begun is None or counts_as is None:
            return False
        hit = replace(hit, metrics=earned, visitor=record.visitor, event="rewarded")
        self._rewards.count_as(counts_as, self._rewarded(decision_id, whose, record, hit, begun.before))
        if counts_as == name:
            self._rewards.done(name)
        self._slow.end_reward(self._account, decision_id, reward)
        return True

    def pk_of(self, decision_id: str) -> Pk:
        """What a decision was about; raises CallerError where there is no such one."""
        kept = self._slow.decision(self._account, decision_id, self._clock())
        if kept is None:
            raise no_decision(decision_id)
        return _decode(kept.text).pk

    def _rewarded(
        self, decision_id: str, id: str, record: Record, hit: Hit, before: Mapping[str, int] | None
    ) -> list[Hit]:
        """What a reward counts. hit: with what it earned.  before: sums of the decision's rewards before it, if there were any."""
        hits = [with_moments(hit, self._settings, int(not record.is_trial), before)]
        if record.off_policy in hit.metrics:
            amount, at_ms = hit.metrics[record.off_policy], int(record.at * 1000)
            known = None if before is None else before.get(record.off_policy)
            shares = record.pk, record.option, record.probability
            hits.append(off_policy.rewarded(*shares, amount, at_ms, self._settings, known))
        if id:
            return hits
        # the ids of an earlier version, which may have counted it without its name
        names = f"reward {decision_id}", f"off-policy {decision_id}"
        return [replace(each, id=name) for each, name in zip(hits, names, strict=False)]

    def _range(self, period: str) -> Range:
        zone = self.store().zone(self._account)
        kept, most = self._settings.periods, self._settings.max_points
        week = self._settings.week_starts
        return parse_period(period, self._clock(), zone, kept, max_points=most, week=week)

    @property
    def is_away(self) -> bool:
        """Whether the store was away a moment ago, so that it is not asked again."""
        return self._clock() < self._soon.away_until

    def leave_alone(self) -> None:
        """The store is away: for AWAY_S it is not asked where there is another answer."""
        self._soon.away_until = max(self._soon.away_until, self._clock() + AWAY_S)

    def store(self) -> DecidingStore:
        """The store, by a connection that soon gives up."""
        return self._soon.store()

    def of(self, account: str) -> "Decider":
        """The same for another account: what is remembered and what waits is kept in one place, by account."""
        if account == self._account:
            return self
        decider = copy(self)
        decider._account = account
        return decider


class _Soon:
    """The store by a connection that soon gives up, and until when it is left alone: one for all accounts."""

    def __init__(self, slow: DecidingStore):
        self._slow = slow
        self._hurried: DecidingStore | None = None
        self.away_until = 0.0
        self._lock = threading.Lock()

    def store(self) -> DecidingStore:
        with self._lock:
            if self._hurried is None:
                self._hurried = self._slow.hurried(HURRY_S)
            return self._hurried


def _dimensions(asked: Asked) -> list[tuple[str, int]]:
    """By which dimensions of the context options may differ: the first name of each node, and its length."""
    return sorted({(str(node[0]), len(node)) for node in asked.nodes if node}) if len(asked.options) > 1 else []


def _key(account: str, asked: Asked, more: Any) -> bytes:
    parts = [
        account,
        asked.pk,
        list(asked.options),
        more,
        asked.ratio.reward,
        asked.ratio.base,
        asked.period,
        asked.half_life_s,
    ]
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).digest()


def _record(asked: Asked, choice: Choice, now: float) -> Record:
    return Record(
        asked.pk,
        choice.option,
        choice.probability,
        choice.version,
        now,
        asked.tree,
        asked.is_trial,
        asked.visitor,
        asked.off_policy,
    )


def _default(asked: Asked) -> Decision | None:
    """What is answered while the store is away."""
    if asked.default is None:
        return None
    return Decision(asked.default, None, None, asked.policy.version, "default")


def _inverted(row: Row) -> Row:
    rate, low, high = (1 / end if end else None for end in (row.rate, row.high, row.low))
    return replace(row, rate=rate, low=low, high=high)


def _again(kept: Kept) -> Decision:
    record = _decode(kept.text)
    return Decision(record.option, record.probability, kept.id, record.policy, "sticky")


def _bytes_of(evidence: Evidence) -> int:
    names = bytes_of([*evidence.options, *map(list, evidence.nodes)])
    return names + 2 * COST + int(evidence.sums.nbytes) + int(evidence.trials.nbytes)
