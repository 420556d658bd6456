"""Decisions: which option this visitor should see. The door between the store and the policies of whale/answer/policy.py.

    Asked ── sticky? ──► Decision, as before
      └──── counters ──► Evidence ── choose ──► Choice ── keep ──► Decision     (counted as a trial in the background)

Promise: a decision that has an id is kept before it is answered, with the probability that it had: it can be rewarded once. A visitor who
asks again while it is sticky gets the same. While the store is away, the default that was declared is answered, within half a second,
without an id, and is not counted; where none was declared, Unavailable.

Cost: one round trip for a visitor who has a decision. Else one or two more for the counters, unless they were read within
`decide_snapshot_s`, and one to keep it; and once in LEARN_S a read of other values of the same dimensions. Never more with more hits.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from hail.hit import Dimensions, Hit, parse_hit, with_moments
from hail.settings import Settings
from whale.answer import off_policy, outcomes, policy
from whale.answer.cache import Cache
from whale.answer.evidence import Departures, Evidence
from whale.answer.outcomes import Ratio
from whale.answer.policy import Choice, Policy, Row
from whale.dimension import Path, Pk
from whale.errors import CallerError, Unavailable
from whale.period import Range, parse_period
from whale.store.base import Kept, Store

HURRY_S = 0.1  # three tries of it, and a default is answered
AWAY_S = 1.0  # how long the store is left alone after that
PERIOD = "thirty"
MOST_SUMS = 1_000_000  # numbers of all snapshots together
LEARN_S = 60.0  # how old it may be what was learnt of the dimensions of a decision
MOST_LEARNT, MOST_LEARNT_SUMS = 300, 3_000  # nodes, and nodes of all options, that it is learnt from

CountTrial = Callable[[Pk, str, Dimensions, float, Mapping[str, float], bool, str | None], None]


@dataclass(frozen=True)
class Asked:
    """One question, checked.

    pk: of the decision; its options are the pks one level below.  tree: the known context.  period: whose counters speak.
    default: what is answered while the store is away.  is_trial: whether the decision counts as a hit of its option.
    sticky_s: None for the setting.  off_policy: the metric whose off-policy estimate is counted too (answer/off_policy.py), if any.
    """

    pk: Pk
    options: Sequence[str]
    tree: Dimensions
    ratio: Ratio
    policy: Policy = policy.DEFAULT
    period: str = PERIOD
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


class Decider:
    """For many threads. clock: epoch seconds.  nonce: a new name for a decision, that nobody can guess."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        account: str,
        clock: Callable[[], float],
        random: np.random.Generator,
        nonce: Callable[[], str],
        count_trial: CountTrial,
        count_hits: Callable[[list[Hit]], None],
        count_later: Callable[[Hit], None],
    ):
        self._slow, self._settings, self._account, self._clock = store, settings, account, clock
        self.random, self._nonce, self._count_trial = random, nonce, count_trial
        self._count_hits, self._count_later = count_hits, count_later
        self._hurried: Store | None = None
        self._away_until = 0.0
        self._lock = threading.Lock()
        self._departures = Cache(clock)
        self._snapshots = Cache(clock, MOST_SUMS, lambda evidence: int(evidence.sums.size))

    def decide(self, asked: Asked, choose: Callable[[Asked], Choice] | None = None) -> Decision:
        """The option for a visitor and a context; see the module. choose: in place of the policy.

        Raises CallerError, and Unavailable where there is no default.
        """
        outcomes.check_options(asked.options)
        if asked.default is not None and asked.default not in asked.options:
            raise CallerError(f"expected one of the options, got {ascii(asked.default)[:60]}", "default")
        if asked.default is not None and self._clock() < self._away_until:
            return Decision(asked.default, None, None, asked.policy.version, "default")
        try:
            found = self.kept(asked)
            if found is not None and found.option in asked.options:
                return found
            instead_of = found.decision_id if found is not None else None
            return self.keep(asked, (choose or self.choice)(asked), instead_of or "")
        except Unavailable:
            if asked.default is None:
                raise
            self._away_until = max(self._away_until, self._clock() + AWAY_S)
            return Decision(asked.default, None, None, asked.policy.version, "default")

    def kept(self, asked: Asked) -> Decision | None:
        """The decision that the visitor has."""
        if asked.visitor is None:
            return None
        now = self._clock()
        found = self.store().decision_of(self._account, asked.pk, asked.visitor, now)
        return None if found is None else _again(found)

    def choice(self, asked: Asked) -> Choice:
        """What the policy says now; nothing is kept.

        A cost as spent/earned says nothing of what earned nothing yet, the worst: then the inverse is made great instead.
        """
        evidence = self.evidence(asked)
        known = evidence.bases[:, 0] > 0
        if asked.policy.goal == "min" and asked.ratio.base != "hits" and not known.all():
            inverse = self.evidence(replace(asked, ratio=Ratio(asked.ratio.base, asked.ratio.reward)))
            if (knows := inverse.bases[:, 0] > 0).sum() > known.sum() and knows[known].all():
                choice = policy.choose(replace(asked.policy, goal="max"), inverse, self.random)
                return replace(choice, rows=[_inverted(row) for row in choice.rows])
        return policy.choose(asked.policy, evidence, self.random)

    def keep(self, asked: Asked, choice: Choice, instead_of: str = "") -> Decision:
        """Keeps a choice, and counts it; or gives the decision that the visitor got meanwhile."""
        now = self._clock()
        record = Record(
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
        sticky_s = self._settings.decision_sticky_s if asked.sticky_s is None else asked.sticky_s
        nonce = self._nonce()
        kept = self.store().keep_decision(
            self._account, asked.pk, asked.visitor, _encode(record), now, nonce, sticky_s, instead_of
        )
        if not kept.id.endswith(f"-{nonce}"):
            return _again(kept)
        shares = dict(zip(asked.options, choice.probabilities, strict=True))
        self._count_trial(asked.pk, choice.option, asked.tree, now, shares, asked.is_trial, asked.visitor)
        if asked.off_policy:
            self._count_later(
                off_policy.tried(asked.pk, choice.option, choice.probability, int(now * 1000), self._settings)
            )
        rows = sorted(choice.rows, key=lambda row: row.option != choice.option)  # of the chosen option first
        return Decision(choice.option, choice.probability, kept.id, choice.version, "chosen", rows)

    def evidence(self, asked: Asked) -> Evidence:
        """What the counters say, at most `decide_snapshot_s` old."""

        def read() -> Evidence:
            learnt = self._learnt(asked)
            return replace(self._read(asked, asked.nodes), departures=learnt)

        key = _key(asked, asked.nodes)
        found: Evidence = self._snapshots.get(key, read, lambda _: self._settings.decide_snapshot_s)
        return found

    def _learnt(self, asked: Asked) -> Departures | None:
        """How much options differ by the dimensions of the context: of a country, learnt from all countries. At most LEARN_S old."""
        dimensions = sorted({(str(node[0]), len(node)) for node in asked.nodes if node})
        if len(asked.options) < 2 or not dimensions:
            return None

        def learn() -> Departures:
            levels = max(length for _, length in dimensions)
            below = self.store().descendants(self._account, asked.pk, (), levels)
            nodes: list[Path] = [(), *(node for node in below if (node[0], len(node)) in dimensions)]
            most = min(MOST_LEARNT, MOST_LEARNT_SUMS // len(asked.options))
            return policy.departures(self._read(asked, nodes[:most]))

        found: Departures = self._departures.get(_key(asked, dimensions), learn, lambda _: LEARN_S)
        return found

    def _read(self, asked: Asked, nodes: Sequence[Path]) -> Evidence:
        store, limit = self.store(), self._settings.max_points
        period = self._range(asked.period)
        return outcomes.evidence_of(store, self._account, asked.pk, asked.options, nodes, asked.ratio, period, limit)

    def reward(self, decision_id: str, metrics: Any) -> bool:
        """Counts what a decision earned, at its option, its context and its time. False where this reward was counted before.

        Raises CallerError: no such decision, or one that has another reward; HitError; Unavailable, then send it again.
        """
        now = self._clock()
        kept = self._slow.decision(self._account, decision_id, now)
        if kept is None:
            raise CallerError(
                f"{ascii(decision_id)[:60]} is no decision that is kept: misspelt, or too old", "decision_id"
            )
        record = _decode(kept.text)
        given = {
            "pk": [*record.pk, record.option],
            "dimensions": record.dimensions,
            "metrics": metrics,
            "at": record.at,
        }
        hit = parse_hit(given, self._settings, now)
        earned = {name: amount for name, amount in hit.metrics.items() if name != "hits"}
        if hit.metrics["hits"] != 1 or not earned | (hit.others or {}):
            raise CallerError("expected what was earned, as {'value': 1}; a reward is no hit", "metrics")
        digest = hashlib.blake2b(msgspec.json.encode([sorted(earned.items()), hit.others]), digest_size=9).hexdigest()
        kept = self._slow.begin_reward(self._account, decision_id, digest, now)
        if kept is None or kept.reward != digest:
            raise CallerError("was rewarded before, by something else", "decision_id")
        if kept.is_rewarded:
            return False
        hit = replace(hit, metrics=earned, id=f"reward {decision_id}", visitor=record.visitor, event="rewarded")
        hits = [with_moments(hit, self._settings, own=int(not record.is_trial))]
        if record.off_policy in earned:
            amount, at_ms = earned[record.off_policy], int(record.at * 1000)
            more = off_policy.rewarded(record.pk, record.option, record.probability, amount, at_ms, self._settings)
            hits.append(replace(more, id=f"off-policy {decision_id}"))
        self._count_hits(hits)
        self._slow.end_reward(self._account, decision_id)
        return True

    def _range(self, period: str) -> Range:
        zone = self.store().zone(self._account)
        kept, most = self._settings.periods, self._settings.max_points
        return parse_period(period, self._clock(), zone, kept, "", most, None, None)

    def store(self) -> Store:
        """The store, by a connection that soon gives up."""
        with self._lock:
            if self._hurried is None:
                self._hurried = self._slow.hurried(HURRY_S)
            return self._hurried


def _key(asked: Asked, more: Any) -> bytes:
    parts = [asked.pk, list(asked.options), more, asked.ratio.reward, asked.ratio.base, asked.period]
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).digest()


def _inverted(row: Row) -> Row:
    rate, low, high = (1 / end if end else None for end in (row.rate, row.high, row.low))
    return replace(row, rate=rate, low=low, high=high)


def _again(kept: Kept) -> Decision:
    record = _decode(kept.text)
    return Decision(record.option, record.probability, kept.id, record.policy, "sticky")
