"""Routes of what visitors of sites do next: their sessions, what comes beside an event, and who comes back."""

from typing import Any

import bottle

from hail.hit import lenient
from whale.answer import sheets
from whale.library.following import PAGE_VIEW
from whale.library.splitting import WORTH
from whale.routes.asked_of_following import OverlapAsked, PathsAsked, RecentAsked, RetentionAsked, SessionsAsked
from whale.routes.asked_of_visits import VisitsAsked, VisitsRow
from whale.routes.door import OfCaller
from whale.routes.parameters import period_of
from whale.routes.responses import PRIVATE, json_answer, sheet_answer

ROW_OF_VISITS = tuple(name for name in VisitsRow.__struct_fields__ if name != "value")


class FollowingRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        for rule, route, kind in (
            ("/sessions", self.sessions, SessionsAsked),
            ("/visits", self.visits, VisitsAsked),
            ("/visitors/recent", self.recent, RecentAsked),
            ("/paths", self.paths, PathsAsked),
            ("/retention", self.retention, RetentionAsked),
            ("/overlap", self.overlap, OverlapAsked),
        ):
            self._door.add(app, rule, ["GET", "POST"], route, kind)
            self._door.add_options(app, rule)

    def sessions(self, asked: SessionsAsked) -> Any:
        found = self._whale.sessions(
            lenient("pk", asked.pk),
            period_of(asked),
            by=asked.by,
            page=asked.page or PAGE_VIEW,
            limit=asked.limit,
            segment=asked.segment,
            tz=asked.tz,
            tzoffset=asked.tzoffset,
        )
        if asked.format == "json":
            return json_answer(found, headers=PRIVATE)
        if not asked.by:
            return sheet_answer(sheets.of_names("at", found["points"]), asked.format, PRIVATE)
        rows = [_flat({**row, "value": sheets.json_cell(row["value"])}, "duration") for row in found["rows"]]
        return sheet_answer(sheets.of_names("value", rows), asked.format, PRIVATE)

    def visits(self, asked: VisitsAsked) -> Any:
        found = self._whale.visits(
            lenient("pk", asked.pk),
            period_of(asked),
            by=asked.by,
            where=asked.where,
            goal=asked.goal,
            worth=asked.worth or WORTH,
            page=asked.page or PAGE_VIEW,
            order=asked.order,
            limit=asked.limit,
            segment=asked.segment,
            tz=asked.tz,
            tzoffset=asked.tzoffset,
        )
        if asked.format == "json":
            return json_answer(found, headers=PRIVATE)
        if not asked.by:
            return sheet_answer(sheets.of_names("at", found["points"]), asked.format, PRIVATE)
        rows = [
            {"by": by, "value": sheets.json_cell(row["value"]), **{name: row.get(name) for name in ROW_OF_VISITS}}
            for by, several in found["rows"].items()
            for row in several
        ]
        return sheet_answer(
            sheets.Sheet(["by", "value", *ROW_OF_VISITS], [list(row.values()) for row in rows], ()),
            asked.format,
            PRIVATE,
        )

    def recent(self, asked: RecentAsked) -> Any:
        found = self._whale.recent_visitors(
            lenient("pk", asked.pk),
            period_of(asked),
            limit=asked.limit,
            segment=asked.segment,
            tz=asked.tz,
            tzoffset=asked.tzoffset,
        )
        if asked.format == "json":
            return json_answer(found, headers=PRIVATE)
        return sheet_answer(sheets.of_names("visitor", found["rows"]), asked.format, PRIVATE)

    def paths(self, asked: PathsAsked) -> Any:
        found = self._whale.paths(
            lenient("pk", asked.pk),
            asked.event,
            period_of(asked),
            direction=asked.direction,
            limit=asked.limit,
            segment=asked.segment,
            tz=asked.tz,
            tzoffset=asked.tzoffset,
        )
        if asked.format == "json":
            return json_answer(found, headers=PRIVATE)
        return sheet_answer(sheets.of_names("event", found["rows"]), asked.format, PRIVATE)

    def retention(self, asked: RetentionAsked) -> Any:
        found = self._whale.retention(
            lenient("pk", asked.pk),
            asked.first,
            asked.again,
            by=asked.by,
            count=asked.count,
            start=asked.start,
            where=asked.where,
            segment=asked.segment,
            tz=asked.tz,
            tzoffset=asked.tzoffset,
            week=asked.week,
        )
        if asked.format == "json":
            return json_answer(found, headers=PRIVATE)
        width = len(found["cohorts"])
        rows = [[row["at"], row["visitors"], *_filled(row["kept"], width)] for row in found["cohorts"]]
        sheet = sheets.Sheet(["at", "visitors", *map(str, range(width))], rows, ())
        return sheet_answer(sheet, asked.format, PRIVATE)

    def overlap(self, asked: OverlapAsked) -> Any:
        found = self._whale.overlap(
            lenient("pk", asked.pk),
            asked.sets,
            period_of(asked),
            segment=asked.segment,
            tz=asked.tz,
            tzoffset=asked.tzoffset,
        )
        if asked.format == "json":
            return json_answer(found, headers=PRIVATE)
        rows = [[" ".join(map(str, row["in"])), row["visitors"]] for row in found["regions"]]
        return sheet_answer(sheets.Sheet(["in", "visitors"], rows, ()), asked.format, PRIVATE)


def _flat(row: dict[str, Any], name: str) -> dict[str, Any]:
    """The fields of one field beside the others, in seconds."""
    inner = row.pop(name)
    return {**row, **{f"{name}_{each}_s": value for each, value in inner.items()}}


def _filled(cells: list[int] | None, width: int) -> list[int | None]:
    """As many cells in each row."""
    return [*(cells or ()), *[None] * (width - len(cells or ()))]
