"""Funnels of sites in the library; a part of Whale, see client.py."""

from collections.abc import Sequence
from typing import Any

from whale.answer import compare as comparing
from whale.answer.asking import Period, period_text
from whale.answer.compare import WORDS, Comparison, Scope
from whale.answer.conditions import asked_again
from whale.answer.funnel_asked import FunnelAsked, shown_funnel, shown_kept
from whale.answer.kept_funnels import kept_of
from whale.answer.site_log import Log
from whale.errors import CallerError
from whale.library.arguments import on_default
from whale.library.funnels import DEFAULT_WINDOW, FEW_ROWS, by_asked, steps_asked, window_asked
from whale.library.noting import Noting
from whale.library.saving import Shelf
from whale.library.segments import gap_of, log_asked
from whale.period import Range, Span
from whale.store.contract.saved import FUNNELS

YES, NO = (True, "1", "true"), (False, None, "", "0", "false")


class Funneling(Noting):
    """Notes, and how far visitors of sites got."""

    @on_default
    def funnel(
        self,
        pk: Any,
        steps: Any = None,
        period: Period = None,
        *,
        name: Any = None,
        window: Any = None,
        by: Any = None,
        when: str | None = None,
        limit: int = FEW_ROWS,
        compare: str | None = None,
        rate: Any = False,
        segment: Any = None,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> dict[str, Any]:
        """{"as_of", "complete", "window_s", "steps": [{"event", "visitors", "occurrences", "conversion", "dropped", "open", "median_s",
        "p90_s"}, ...], "basis", "since", "is_incomplete"}: how many visitors of a site did these events in this order, in a period.

        steps: 2 to 32, each strictly later than the one before; one may be there twice. A step is a name, or {"event", "where": [condition,
        ...]}, where a condition is {"property", "is": value, "when"}, or has `in` or `not` instead of `is`.  window: from the first to the
        last step at most, as "30m", "1d" or seconds.  conversion: of the first step's visitors, 0 to 1; None where there are none.
        open: who may still get to the next step; dropped: who can not.  median_s, p90_s: from the first step to this one, s.
        name: of a saved funnel, instead of its steps; then also "name" and "revision". Its numbers are kept up to date, with times to 1 %;
        after a day has turned, the last ones answer for a moment: as_of says of when they are.
        window: default: that of the saved one, or a day.
        by: a property; then also "split": [{"value", "steps"}, ...], by the `last` value of each visitor, the `first`, or that of the
        `session` in which they began (when), which adds up.  limit: of its rows but `__other__`.  compare: "previous" or "last_year";
        then also "compared".
        rate: also "rate": [[ms, share], ...]: of those whose first event of the first step was in a bucket, who got to the last step. True
        for the buckets of the period, or their width, as "1d".
        segment: only visitors of a set, of this period and of the one that it is compared with, each.

        Raises NotFound where no log is kept of the site, no funnel has this name, or an event or a property was never logged.
        """
        saved: dict[str, Any] = {}
        if name not in (None, ""):
            if steps not in (None, ""):
                raise CallerError("came together with steps: send only one of them", "name")
            saved = Shelf(self, pk, FUNNELS).one(name)
            steps = saved["steps"]
        if window in (None, ""):
            window = saved.get("window_s", DEFAULT_WINDOW)
        wanted, log = steps_asked(steps, self.settings), self._log(pk, segment, tz, tzoffset)
        asking = self.asking.now()
        during, window_s = asking.range_of_log(period, tz, tzoffset), window_asked(window)
        now, compared = asking.clock(), self._compared(during, period, compare)
        rated = self._rated(rate, compared.now if compared else during, tz, tzoffset)
        by_what = by_asked(by, when, limit, gap_of(self, log), self.settings)
        kept = None
        if saved and not (by_what or compared or rated or segment):
            asked_as = saved["name"], period_text(period), during.zone
            kept = kept_of(self.store).ask(asked_as, log, wanted, window_s, during, now)
        if kept:
            found = shown_kept(log, kept, window_s, now)
        else:
            found = shown_funnel(log, FunnelAsked(wanted, window_s, by_what, rated), during, now, compared)
        return {key: saved[key] for key in ("name", "revision") if saved} | found

    @on_default
    def save_funnel(
        self, pk: Any, name: Any, steps: Any, window: Any = DEFAULT_WINDOW, revision: int | None = None
    ) -> dict[str, Any]:
        """{"name", "revision", "steps", "window_s"}: saves a funnel of a site, or changes it, to be asked for by its name.

        revision: the one that you have read, 0 for none; raises Conflict where another one is there. At most 50 a site.
        """
        return kept_funnel(self, pk, name, steps, window, revision)[0]

    @on_default
    def funnels(self, pk: Any) -> list[dict[str, Any]]:
        """[{"name", "revision", "steps", "window_s"}, ...]: the saved funnels of a site, by name."""
        return Shelf(self, pk, FUNNELS).all()

    @on_default
    def saved_funnel(self, pk: Any, name: Any) -> dict[str, Any]:
        """{"name", "revision", "steps", "window_s"}: a saved funnel of a site. Raises NotFound."""
        return Shelf(self, pk, FUNNELS).one(name)

    @on_default
    def delete_funnel(self, pk: Any, name: Any) -> None:
        """Raises NotFound."""
        Shelf(self, pk, FUNNELS).remove(name)

    def _rated(self, rate: Any, during: Range, tz: str | None, tzoffset: Any) -> Sequence[int]:
        """When the buckets begin of which a rate is asked; raises CallerError."""
        if rate in NO:
            return ()
        if rate in YES:
            return list(during.starts)
        try:
            return list(self.asking.now().range_of_log(Span(during.start, during.end, str(rate)), tz, tzoffset).starts)
        except CallerError:
            raise CallerError('expected 1, or the width of its buckets such as "1d"', "rate") from None

    def _compared(self, during: Range, period: Period, word: str | None) -> Comparison | None:
        if not word:
            return None
        if word not in WORDS:
            raise CallerError(f"expected {' or '.join(WORDS)}, got {ascii(word)[:60]}", "compare")
        now = self.asking.now().clock()
        kept = {interval: None for interval, _ in self.settings.periods}  # a log keeps times, in any zone
        scope = Scope(during.zone, kept, now, now)
        return comparing.compare(during, period_text(period), word, scope)

    def _log(self, pk: Any, segment: Any = None, tz: str | None = None, tzoffset: Any = None) -> Log:
        """segment: see segments.py. Raises NotFound."""
        return log_asked(self, pk, segment, tz, tzoffset)


def kept_funnel(
    whale: Noting, pk: Any, name: Any, steps: Any, window: Any, revision: int | None
) -> tuple[dict[str, Any], bool]:
    """A funnel as it is saved, and whether it is a new one."""
    wanted, window_s = steps_asked(steps, whale.settings), window_asked(window)
    fields = {"steps": [asked_again(each) for each in wanted], "window_s": window_s}
    return Shelf(whale, pk, FUNNELS).keep(name, fields, revision, "steps")
