"""Decisions that are kept, those that visitors have, and their rewards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from whale.dimension import Pk
from whale.errors import CallerError

DIGEST = 18
MOST_REWARDED = 9_000_000_000 * 1_000_000
"""What the rewards of a decision may add up to of a metric: what one reward may say, in millionths."""


@dataclass(frozen=True)
class Kept:
    """A decision that is kept. text: what was decided, JSON."""

    id: str
    text: bytes


@dataclass(frozen=True)
class Keeping:
    """A decision that is to be kept; see `Decisions.keep_decisions`."""

    pk: Pk
    visitor: str | None
    text: bytes
    nonce: str
    sticky_s: float
    instead_of: str = ""


@dataclass(frozen=True)
class Reward:
    """A reward of a decision. id: its own, or empty.  digest: of what it says, DIGEST characters.  amounts: its sums, as stored.

    publisher, seq, total, at_ms: of the message that is to count it.
    """

    id: str
    digest: str
    amounts: Mapping[str, int]
    publisher: str
    seq: int
    total: int
    at_ms: int


@dataclass(frozen=True)
class Begun:
    """How a reward is counted, whoever counts it and however often: the message, and what the decision was rewarded with before.

    before: sums, as stored; None for its first reward.
    """

    publisher: str
    seq: int
    total: int
    at_ms: int
    before: Mapping[str, int] | None


def no_decision(id: str) -> CallerError:
    return CallerError(f"no decision {ascii(id)[:60]} is kept: it is misspelt or too old", "decision_id")


def other_reward(reward: Reward) -> CallerError:
    if reward.id:
        return CallerError("belongs to another reward of this decision: give each reward an id of its own", "id")
    return CallerError("has a different reward already: give each reward an id, so that they add up", "decision_id")


def too_many_rewards(most: int) -> CallerError:
    return CallerError(f"has {most} rewards, which is the limit (HAILWHALE_MAX_REWARDS)", "decision_id")


def too_many_rewarded(most: int) -> CallerError:
    return CallerError(f"the limit is {most} metrics in all rewards of a decision", "metrics")


def rewarded_too_much(metric: str) -> CallerError:
    return CallerError("expected a total from -9.0e9 to 9.0e9 over all rewards of a decision", f"metrics.{metric[:60]}")


class Decisions(Protocol):
    """For many threads."""

    def decision(self, account: str, id: str, now: float) -> Kept | None:
        """A decision that is kept."""

    def decision_of(self, account: str, pk: Pk, visitor: str, now: float) -> Kept | None:
        """The decision of a pk that a visitor has, while it is sticky. One read."""

    def decisions_of(self, account: str, asked: Sequence[tuple[Pk, str]], now: float) -> list[Kept | None]:
        """`decision_of` several pks and visitors, in one round trip."""

    def keep_decision(
        self,
        account: str,
        pk: Pk,
        visitor: str | None,
        text: bytes,
        now: float,
        nonce: str,
        sticky_s: float,
        instead_of: str = "",
    ) -> Kept:
        """Keeps a decision for `decision_kept_s`, under an id that begins with a number and holds the nonce.

        A visitor has it for `sticky_s`, unless there already is one other than `instead_of`: then that one is returned and
        nothing is kept. Past `max_decisions` of an account the oldest are forgotten.
        """

    def keep_decisions(self, account: str, keeping: Sequence[Keeping], now: float) -> list[Kept]:
        """`keep_decision` of several, each for itself, in one round trip."""

    def begin_reward(self, account: str, id: str, reward: Reward, now: float) -> Begun | None:
        """Notes a reward of a decision, and adds it to the sums of the decision's rewards, once an id; None where it was counted.

        The same again, until `end_reward`, returns what it returned first. Both are remembered as long as the decision.
        Raises CallerError: no such decision; another reward under this id; more than `max_rewards` of them, or more metrics
        than a hit may have, or a sum beyond MOST_REWARDED.
        """

    def end_reward(self, account: str, id: str, reward: Reward) -> None:
        """Notes that a reward was counted."""
