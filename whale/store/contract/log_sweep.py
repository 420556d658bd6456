"""What is to be done for logs of visitors beside logging."""

from typing import Protocol

AGAIN_S, SOON_S = 3600.0, 60.0
"""How long after a log was seen to it is due again; and where its account's logs take more than half of what they may."""
ENDED_S = 60.0
"""How long after the end of a log its data goes: nobody logs there any more."""
QUIET_S = 86_400
"""A tail is packed that nothing was added to for so long."""
USUAL_MB, USUAL_PART = 1000.0, 0.25
"""What the logs of an account may take where no setting says it: a part of the server's memory, if that is bounded."""
VISITOR_BYTES = 21
"""What a visitor who is known takes, about, beside their id."""
ID_BYTES = 5
"""And an id, beside its text."""
FIELD_BYTES = 80
"""What a name, a value of a property or an alias takes, about, beside its text."""
EVENTS_FULL = "events_full"
"""Why a hit is not logged: the logs of its account take as much as they may."""


class LogSweep(Protocol):
    """For one thread at a time, and for many processes."""

    def sweep_logs(self, later_s: float = 0.0) -> bool:
        """A small step of what is due; False where nothing is. later_s: as it will be then.

        Each log is due once an hour: what is older than its site keeps goes, by whole months; so do the records of erased visitors,
        and 31 days later that they were erased; a log that has ended goes a while after its end, and its record 31 days after it.
        Where the logs of an account take more than EVENTS_MAX_MB, hits are not logged there (EVENTS_FULL), until they take less.
        """
