"""What Hail counts about itself, for /metrics. Counted once a message or a refusal, never once a hit."""

from prometheus_client import Counter, Histogram

from hail.hit import Reason

ACCEPTED = Counter("hailwhale_hits_accepted", "Hits confirmed by the broker or fsynced in the spool", ["kept"])
REFUSED = Counter("hailwhale_hits_refused", "Hits refused, by reason", ["reason"])
UNCONFIRMED = Counter("hailwhale_hits_unconfirmed", "Hits answered with 503 unconfirmed, which may still be counted")
SKEWED = Counter("hailwhale_hits_skewed", "Accepted hits whose time was in the future and was set to now")
EARLY = Counter(
    "hailwhale_hits_early", "Hits that came by keys before a directory of accounts did, to be looked up later"
)
PARAMETERS_IGNORED = Counter(
    "hailwhale_parameters_ignored", "Unknown parameters of accepted image and script requests, ignored"
)
MESSAGES = Counter("hailwhale_messages", "Messages sent to the broker or written to the spool", ["kept"])
BROKER_FAILURES = Counter("hailwhale_broker_failures", "Failures of the broker, each followed by a pause", ["cause"])
COMMIT_SECONDS = Histogram(
    "hailwhale_commit_seconds",
    "Seconds from collecting waiting hits to their confirm or fsync",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5),
)

REFUSED_BY: dict[Reason, Counter] = {
    reason: REFUSED.labels(reason.value) for reason in Reason if reason is not Reason.UNCONFIRMED
}
ACCEPTED_BY = {kept: ACCEPTED.labels(kept) for kept in ("broker", "spool")}
MESSAGES_BY = {kept: MESSAGES.labels(kept) for kept in ("broker", "spool")}
