"""What Hail counts about itself, for /metrics. Counted once a message or a refusal, never once a hit."""

from prometheus_client import Counter, Histogram

from hail.hit import Reason

ACCEPTED = Counter("hailwhale_hits_accepted", "Hits confirmed by the broker or fsynced in the spool", ["kept"])
REFUSED = Counter("hailwhale_hits_refused", "Hits refused, by reason", ["reason"])
UNCONFIRMED = Counter(
    "hailwhale_hits_unconfirmed", "Hits that were taken and not known to be kept when they were answered"
)
SKEWED = Counter("hailwhale_hits_skewed", "Accepted hits whose time lay ahead and was set to now")
PARAMETERS_IGNORED = Counter(
    "hailwhale_parameters_ignored", "Parameters beside accepted hits of images and scripts that no field of a hit has"
)
MESSAGES = Counter("hailwhale_messages", "Messages handed on", ["kept"])
BROKER_FAILURES = Counter("hailwhale_broker_failures", "Times the broker was left alone", ["cause"])
COMMIT_SECONDS = Histogram(
    "hailwhale_commit_seconds",
    "From taking waiting hits to their confirm or fsync",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5),
)

REFUSED_BY: dict[Reason, Counter] = {
    reason: REFUSED.labels(reason.value) for reason in Reason if reason is not Reason.UNCONFIRMED
}
ACCEPTED_BY = {kept: ACCEPTED.labels(kept) for kept in ("broker", "spool")}
MESSAGES_BY = {kept: MESSAGES.labels(kept) for kept in ("broker", "spool")}
