"""Whale's HTTP API as OpenAPI 3.1, made from the msgspec types that check what comes in."""

from functools import cache
from typing import Any

import msgspec

from hail.openapi import (
    KEYS,
    SEALED,
    answer,
    common,
    components,
    hit_operations,
    outcome_operations,
    parameters,
    schema_of,
    secured,
)
from whale import __version__
from whale.answer.measures import Measure
from whale.decide.definition import DecisionGiven, Reporting, Shown
from whale.decide.report import Report
from whale.routes import asked, ofrep
from whale.routes import asked_by_hiitrack as by_hiitrack
from whale.routes import asked_of_following as of_following
from whale.routes import asked_of_funnels as of_funnels
from whale.routes import asked_of_talks as of_talks
from whale.routes import asked_of_visitors as of_visitors
from whale.routes import asked_of_visits as of_visits

QUESTIONS: dict[str, tuple[type[msgspec.Struct], Any, str]] = {
    "/plotpoints": (asked.PlotpointsAsked, dict[str, Any] | list[Any], "Time series: {path: {metric: points}}."),
    "/dataset": (asked.DatasetAsked, list[Any] | dict[str, Any], "One time series."),
    "/totals": (asked.TotalsAsked, dict[str, Any] | list[Any], "Totals of one or more periods."),
    "/total": (asked.TotalAsked, int | float | None | dict[str, Any], "One number."),
    "/rank": (
        asked.RankAsked,
        dict[str, Any] | list[Any],
        "Rank the children of a path by a formula, with the parts of each value.",
    ),
    "/factors": (asked.FactorsAsked, dict[str, Any] | list[Any], "Values that explain a change."),
    "/shifts": (asked.ShiftsAsked, dict[str, Any] | list[Any], "Values that broke away, since when, and its cost."),
    "/subdimensions": (asked.SubdimensionsAsked, list[str | list[str]], "Paths below a path."),
    "/pks": (asked.PksAsked, list[str | asked.PkCounted], "Pks below a pk."),
    "/metrics_of": (asked.MetricsAsked, list[str | Measure], "Metrics of a pk."),
    "/decide": (asked.DecideAsked, asked.Decided, "Choose the option that a visitor should see."),
    "/outcomes": (asked.OutcomesAsked, Report, "Report the options of a decision that is not managed."),
    "/spy": (asked.SpyAsked, list[dict[str, Any]], "The last hits, each with its outcome."),
}


def _posted(name: str, summary: str, kind: type[msgspec.Struct], said: Any) -> dict[str, Any]:
    """A route that changes what is counted. kind: what its body holds."""
    good = answer("Done.", said, "text/plain" if said is None else "application/json")
    body = {"required": True, "content": {"application/json": {"schema": schema_of(kind)}}}
    responses = {"200": good, **common(400, 401, 413, 503)}
    return {"post": {"operationId": name, "summary": summary, "requestBody": body, "responses": responses}}


def explained(said: dict[str, Any]) -> dict[str, Any]:
    """The same response, or with `explain` the same inside {answer, explain}."""
    content = said["content"]["application/json"]
    whole = {
        "type": "object",
        "required": ["answer", "explain"],
        "properties": {"answer": content["schema"], "explain": {"type": "object"}},
    }
    return {**said, "content": {"application/json": {**content, "schema": {"anyOf": [content["schema"], whole]}}}}


def _named(name: str) -> dict[str, Any]:
    """A part of a path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _either(said: str, *kinds: Any) -> dict[str, Any]:
    """An answer of one of several kinds."""
    schemas = [answer("", kind)["content"]["application/json"]["schema"] for kind in kinds]
    found = answer(said, kinds[0])
    found["content"]["application/json"]["schema"] = {"anyOf": schemas}
    return found


def _decisions() -> dict[str, Any]:
    """List managed decisions."""
    body = {"required": True, "content": {"application/json": {"schema": schema_of(DecisionGiven)}}}
    unchanged = {"304": {"description": "Not modified since the ETag in If-None-Match."}}
    listed = {
        "operationId": "decisions",
        "summary": "List managed decisions.",
        "parameters": parameters(asked.DecisionsAsked),
        "responses": {"200": answer("The decisions, sorted by name.", list[Shown]), **common(400, 401, 503)},
    }
    read = {
        "operationId": "decision",
        "summary": "Show a managed decision and the report of one phase.",
        "parameters": [_named("name"), *parameters(asked.DecisionAsked)],
        "responses": {
            "200": answer("The decision, the phase and its report.", Reporting),
            **common(400, 401, 404, 503),
        },
    }
    define = {
        "operationId": "define_decision",
        "summary": "Define a managed decision, or change the given fields.",
        "parameters": [_named("name")],
        "requestBody": body,
        "responses": {"200": answer("The decision after the change.", Shown), **common(400, 401, 409, 413, 503)},
    }
    context = {"type": "object", "properties": {"context": {"type": "object"}}}
    refusals = {
        str(status): answer("Reason why the flag was not evaluated.", ofrep.Refusal) for status in (400, 413, 503)
    }
    evaluate = {
        "operationId": "evaluate_flag",
        "summary": "Evaluate one flag (OpenFeature Remote Evaluation Protocol).",
        "parameters": [_named("key")],
        "requestBody": {"content": {"application/json": {"schema": context}}},
        "responses": {
            "200": answer("The variant and its value.", ofrep.Evaluated),
            "404": answer("Flag not found.", ofrep.Refusal),
            **refusals,
            **common(401),
        },
    }
    evaluate_all = {
        "operationId": "evaluate_flags",
        "summary": "Evaluate all flags (OpenFeature Remote Evaluation Protocol).",
        "requestBody": {"content": {"application/json": {"schema": context}}},
        "responses": {"200": answer("All flags.", ofrep.Flags), **unchanged, **refusals, **common(401)},
    }
    return {
        "/decisions": {"get": listed},
        "/decisions/{name}": {"get": read, "post": define},
        "/ofrep/v1/evaluate/flags": {"post": evaluate_all},
        "/ofrep/v1/evaluate/flags/{key}": {"post": evaluate},
    }


def _notes() -> dict[str, Any]:
    """Notes on the time axis."""
    given = schema_of(asked.NoteGiven)
    body = {
        "required": True,
        "content": {"application/json": {"schema": given}, "application/x-www-form-urlencoded": {"schema": given}},
    }
    good = answer("The notes, sorted by time.", list[dict[str, str | list[str] | None]])
    good["content"] |= answer("", None, "text/csv")["content"]
    listed = {
        "operationId": "notes",
        "summary": "List the notes of a period.",
        "parameters": parameters(asked.NotesAsked),
        "responses": {"200": good, **common(400, 401, 503)},
    }
    write = {
        "operationId": "note",
        "summary": "Write a note, such as the name of a release.",
        "requestBody": body,
        "responses": {"201": answer("The note is kept.", asked.NoteKept), **common(400, 401, 413, 503)},
    }
    delete = {
        "operationId": "delete_note",
        "summary": "Delete a note.",
        "parameters": [_named("id")],
        "responses": {"200": answer("The note is deleted.", asked.NoteKept), **common(400, 401, 404, 503)},
    }
    return {"/notes": {"get": listed, "post": write}, "/notes/{id}": {"delete": delete}}


def _of_log(name: str, summary: str, kind: type[msgspec.Struct], said: Any) -> dict[str, Any]:
    """A question about visitors of sites."""
    responses = {"200": answer("The answer.", said), **common(400, 401, 404, 503)}
    form = {
        "required": True,
        "content": {"application/x-www-form-urlencoded": {"schema": schema_of(kind)}},
    }
    got = {"operationId": name, "summary": summary, "parameters": parameters(kind), "responses": responses}
    posted = {
        "operationId": f"{name}_by_form",
        "summary": f"{summary} Use POST if the address would be too long.",
        "requestBody": form,
        "responses": {**responses, **common(413)},
    }
    return {"get": got, "post": posted}


def _following() -> dict[str, Any]:
    """What visitors of sites do next."""
    return {
        "/sessions": _of_log(
            "sessions", "Count the sessions of a site.", of_following.SessionsAsked, of_following.Sessions
        ),
        "/visits": _of_log(
            "visits", "Count the visits of a site, and split them.", of_visits.VisitsAsked, of_visits.Visits
        ),
        "/visitors/recent": _of_log(
            "recent_visitors", "List who was at a site last.", of_following.RecentAsked, of_following.Recent
        ),
        "/paths": _of_log("paths", "List what comes next after an event.", of_following.PathsAsked, of_following.Paths),
        "/retention": _of_log(
            "retention", "Count the visitors who come back.", of_following.RetentionAsked, of_following.Retention
        ),
        "/overlap": _of_log(
            "overlap", "Count the visitors that sets share.", of_following.OverlapAsked, of_following.Overlap
        ),
    }


def _saved(word: str, given: type[msgspec.Struct], saved: type[msgspec.Struct]) -> dict[str, Any]:
    """What is saved of sites. word: for one of it."""
    named = [_named("site"), _named("name")]
    several: Any = list[saved]  # type: ignore[valid-type]  # one of two
    listed = {
        "operationId": f"{word}s",
        "summary": f"List the saved {word}s of a site.",
        "parameters": named[:1],
        "responses": {"200": answer("Sorted by name.", several), **common(400, 401, 404, 503)},
    }
    read = {
        "operationId": f"saved_{word}",
        "summary": f"Show a saved {word}.",
        "parameters": named,
        "responses": {"200": answer(f"The {word}.", saved), **common(400, 401, 404, 503)},
    }
    save = {
        "operationId": f"save_{word}",
        "summary": f"Save a {word}, or change a saved one.",
        "parameters": named,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema_of(given)}}},
        "responses": {
            "200": answer(f"The {word}, which was there before.", saved),
            "201": answer(f"The new {word}.", saved),
            **common(400, 401, 404, 409, 413, 503),
        },
    }
    delete = {
        "operationId": f"delete_{word}",
        "summary": f"Delete a saved {word}.",
        "parameters": named,
        "responses": {"204": {"description": "It is deleted."}, **common(400, 401, 404, 503)},
    }
    every = f"/{word}s/{{site}}"
    return {every: {"get": listed}, f"{every}/{{name}}": {"get": read, "put": save, "delete": delete}}


def _talks() -> dict[str, Any]:
    """What is said to one visitor."""
    site, one = "/push/{site}", "/push/{site}/{visitor}"
    named = [_named("site"), _named("visitor")]
    listed = answer("Who listens.", of_talks.Listening)
    listed["content"] |= answer("", None, "text/csv")["content"]
    body = {"schema": {"type": "object", "additionalProperties": True, "example": {"text": "May I help you?"}}}
    return {
        site: {
            "get": {
                "operationId": "listening",
                "summary": "List the visitors of a site whose pages listen, and the last words with each.",
                "parameters": [*named[:1], *parameters(of_talks.ListeningAsked)],
                "responses": {"200": listed, **common(400, 401, 404, 503)},
            }
        },
        one: {
            "get": {
                "operationId": "talk",
                "summary": "List the messages to a visitor and by them.",
                "parameters": [*named, *parameters(of_talks.TalkAsked)],
                "responses": {"200": answer("The talk.", of_talks.Talk), **common(400, 401, 404, 503)},
            },
            "post": {
                "operationId": "push",
                "summary": "Say something to the pages of a visitor.",
                "parameters": named,
                "requestBody": {"required": True, "content": {"application/json": body}},
                "responses": {"200": answer("It is said.", of_talks.Pushed), **common(400, 401, 404, 413, 503)},
            },
        },
    }


def _visitors() -> dict[str, Any]:
    """Visitors of sites."""
    identified = _posted("identify", "Say that two ids are one visitor's.", of_visitors.Identified, of_visitors.Joined)
    identified["post"]["responses"] |= common(404)
    listed = _of_log(
        "properties",
        "List the properties of a site, or the values of one.",
        of_visitors.PropertiesAsked,
        of_visitors.Properties,
    )
    for each in listed.values():
        each["responses"]["200"] = _either("The answer.", of_visitors.Properties, of_visitors.PropertyShown)
        each["responses"]["200"]["content"] |= answer("", None, "text/csv")["content"]
    one = {
        "get": {
            "operationId": "visitor",
            "summary": "List the last events and the properties of a visitor, or export all that is kept of them.",
            "parameters": [_named("visitor"), *parameters(of_visitors.VisitorAsked)],
            "responses": {
                "200": _either("The visitor.", of_visitors.VisitorShown, of_visitors.VisitorExported),
                **common(400, 401, 404, 503),
            },
        },
        "delete": {
            "operationId": "erase_visitor",
            "summary": "Erase a visitor.",
            "parameters": [_named("visitor"), *parameters(of_visitors.EraseAsked)],
            "responses": {
                "200": answer("The visitor is erased.", of_visitors.Purged),
                **common(400, 401, 404, 503),
            },
        },
    }
    return {
        "/visitors": _of_log(
            "visitors", "Count the visitors of a site.", of_visitors.VisitorsAsked, of_visitors.Visitors
        ),
        "/events": _of_log("events", "List the events of a site.", of_visitors.EventsAsked, of_visitors.Events),
        "/properties": listed,
        "/funnel": _of_log(
            "funnel",
            "Count the visitors who did events in an order.",
            of_funnels.FunnelAsked,
            of_funnels.Funnel,
        ),
        "/visitor/{visitor}": one,
        "/identify": identified,
    }


def _accounts() -> dict[str, Any]:
    """Users, keys and sites of an account, and its journal."""
    paths: dict[str, Any] = {
        "/journal": {
            "get": {
                "operationId": "journal",
                "summary": "List the last changes of users, keys and sites.",
                "parameters": parameters(asked.JournalAsked),
                "responses": {"200": answer("The newest last.", list[asked.ActShown]), **common(400, 401, 404, 503)},
            }
        }
    }

    def body(kind: type[msgspec.Struct]) -> dict[str, Any]:
        return {"required": True, "content": {"application/json": {"schema": schema_of(kind)}}}

    for word, name, given, changes, shown in (
        ("user", "name", asked.UserGiven, asked.UserChanges, asked.UserShown),
        ("key", "id", asked.KeyGiven, asked.KeyChanges, asked.KeyShown),
        ("site", "pk", asked.SiteGiven, asked.SiteChanges, asked.SiteShown),
    ):
        paths[f"/{word}s"] = {
            "get": {
                "operationId": f"{word}s",
                "summary": f"List the {word}s of the account.",
                "responses": {"200": answer("All of them.", list[shown]), **common(401, 404, 503)},  # type: ignore[valid-type]  # one of three
            },
            "post": {
                "operationId": f"add_{word}",
                "summary": f"Make a {word}.",
                "requestBody": body(given),
                "responses": {"201": answer("It is made.", shown), **common(400, 401, 404, 409, 413, 503)},
            },
        }
        paths[f"/{word}s/{{{name}}}"] = {
            "post": {
                "operationId": f"change_{word}",
                "summary": f"Change a {word}.",
                "parameters": [_named(name)],
                "requestBody": body(changes),
                "responses": {"200": answer("As it is now.", shown), **common(400, 401, 404, 409, 413, 503)},
            },
            "delete": {
                "operationId": f"remove_{word}",
                "summary": f"Remove a {word}.",
                "parameters": [_named(name)],
                "responses": {"200": answer("It is removed.", shown), **common(400, 401, 404, 409, 503)},
            },
        }
    return paths


def _hiitrack() -> dict[str, Any]:
    """HiiTrack's users, buckets and events."""
    user = _named("user")
    user["schema"]["pattern"] = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
    bucket = _named("bucket")
    bucket["schema"]["pattern"] = user["schema"]["pattern"]
    script = answer("", None, "text/javascript")["content"]

    def operation(
        name: str, summary: str, good: dict[str, Any], given: type[msgspec.Struct] | None, *places: Any
    ) -> Any:
        responses = {**good, **common(400, 401, 403, 404, 413, 429, 503)}
        for said in responses.values():
            said["content"] = said["content"] | script
        body = schema_of(given) if given else None
        kinds = ("application/json", "application/x-www-form-urlencoded")
        return {
            "operationId": name,
            "summary": summary,
            "parameters": [*places, *parameters(by_hiitrack.HiiTrackBeside)],
            **({"requestBody": {"content": {kind: {"schema": body} for kind in kinds}}} if body else {}),
            "responses": responses,
        }

    done = answer("Done.", by_hiitrack.HiiTrackDone)
    made = answer("Its token, which is shown once.", by_hiitrack.HiiTrackToken)
    buckets = answer("Its buckets.", by_hiitrack.HiiTrackUser)
    shown = answer("The bucket.", by_hiitrack.HiiTrackBucket)
    counted = answer("It is counted.", by_hiitrack.HiiTrackCounted)
    of_user, of_bucket, of_event = (
        by_hiitrack.HiiTrackUserGiven,
        by_hiitrack.HiiTrackBucketGiven,
        by_hiitrack.HiiTrackEventGiven,
    )
    both = user, bucket
    named = *both, _named("name")

    def counts(name: str, summary: str, given: type[msgspec.Struct]) -> Any:
        return operation(name, summary, {"200": counted}, given, *named)

    def by_script(name: str, summary: str, given: type[msgspec.Struct], *places: Any) -> Any:
        own = parameters(given)[len(parameters(by_hiitrack.HiiTrackBeside)) :]
        return operation(name, f"{summary} A script of a page may ask.", {"200": counted}, None, *places, *own)

    def reports(name: str, summary: str, asked: type[msgspec.Struct], places: Any, *said: Any) -> Any:
        own = parameters(asked)[len(parameters(by_hiitrack.HiiTrackBeside)) :]
        for each in own:
            if each["name"] in ("event", "event_id"):
                each |= {"schema": {"type": "array", "items": each["schema"]}, "explode": True}
        return operation(name, summary, {"200": _either("The report.", *said)}, None, *places, *own)

    id_ = *both, _named("id")
    of_one = by_hiitrack.HiiTrackEventAsked, by_hiitrack.HiiTrackEvent, by_hiitrack.HiiTrackEventSplit
    of_property = by_hiitrack.HiiTrackPropertyAsked, by_hiitrack.HiiTrackProperty
    of_funnel = by_hiitrack.HiiTrackFunnelAsked, by_hiitrack.HiiTrackFunnel, by_hiitrack.HiiTrackFunnelSplit
    return {
        "/{user}": {
            "post": operation("hiitrack_add_user", "Make an account and its owner.", {"201": done}, of_user, user),
            "get": operation("hiitrack_user", "List the buckets of a user.", {"200": buckets}, None, user),
            "delete": operation("hiitrack_remove_user", "Remove a user with everything.", {"200": done}, None, user),
        },
        "/{user}/{bucket}": {
            "post": operation("hiitrack_add_bucket", "Make a bucket.", {"201": made}, of_bucket, *both),
            "get": operation("hiitrack_bucket", "Show a bucket.", {"200": shown}, None, *both),
            "delete": operation(
                "hiitrack_remove_bucket", "Remove a bucket with its counts.", {"200": done}, None, *both
            ),
        },
        "/{user}/{bucket}/event/{name}": {
            "post": counts("hiitrack_event", "Count an event of a visitor.", of_event),
            "put": counts("hiitrack_put_event", "Count an event of a visitor.", of_event),
            "get": reports("hiitrack_event_report", "Report an event.", of_one[0], named, *of_one[1:]),
        },
        "/{user}/{bucket}/event_id/{id}": {
            "get": reports("hiitrack_event_report_by_id", "Report an event by its id.", of_one[0], id_, *of_one[1:])
        },
        "/{user}/{bucket}/property/{name}": {
            "post": counts("hiitrack_property", "Log a value of a property.", by_hiitrack.HiiTrackPropertyGiven),
            "put": counts("hiitrack_put_property", "Log a value of a property.", by_hiitrack.HiiTrackPropertyGiven),
            "get": reports("hiitrack_property_report", "Report a property.", of_property[0], named, *of_property[1:]),
        },
        "/{user}/{bucket}/property_id/{id}": {
            "get": reports(
                "hiitrack_property_report_by_id", "Report a property by its id.", of_property[0], id_, *of_property[1:]
            )
        },
        "/{user}/{bucket}/funnel": {
            "get": reports("hiitrack_preview", "Report a funnel of events.", of_funnel[0], both, *of_funnel[1:])
        },
        "/{user}/{bucket}/funnel/{name}": {
            "post": operation(
                "hiitrack_save_funnel", "Save a funnel.", {"201": done}, by_hiitrack.HiiTrackFunnelGiven, *named
            ),
            "get": reports(
                "hiitrack_funnel", "Report a saved funnel.", by_hiitrack.HiiTrackSavedAsked, named, *of_funnel[1:]
            ),
            "delete": operation("hiitrack_delete_funnel", "Delete a saved funnel.", {"200": done}, None, *named),
        },
        "/{user}/{bucket}/property/{name}/jsonp": {
            "get": by_script(
                "hiitrack_property_by_script",
                "Log a value of a property.",
                by_hiitrack.HiiTrackPropertyGiven,
                *named,
            )
        },
        "/{user}/{bucket}/property/{name}/{value}": {
            "put": operation(
                "hiitrack_put_text",
                "Log a text as the value of a property.",
                {"200": counted},
                of_event,
                *named,
                _named("value"),
            )
        },
        "/{user}/{bucket}/property/{name}/{value}/jsonp": {
            "get": by_script(
                "hiitrack_text_by_script", "Log a text as the value of a property.", of_event, *named, _named("value")
            )
        },
        "/{user}/{bucket}/batch": {
            "get": by_script(
                "hiitrack_batch", "Count several events of a visitor.", by_hiitrack.HiiTrackBatchGiven, *both
            )
        },
        "/{user}/{bucket}/event/{name}/jsonp": {
            "get": by_script("hiitrack_event_by_script", "Count an event of a visitor.", of_event, *named)
        },
    }


def _shares() -> dict[str, Any]:
    """Links, what they answer, and pictures."""
    body = {"required": True, "content": {"application/json": {"schema": schema_of(asked.ShareGiven)}}}
    made = {"201": answer("The link, and when it ends.", asked.Shared), **common(400, 401, 403, 413, 503)}
    ended = {"410": {"description": "The share has ended."}}
    unchanged = {"304": {"description": "Not modified since the ETag in If-None-Match."}}
    picture = answer("The picture.", None, "image/svg+xml")
    token = _named("token")

    def below(name: str, summary: str, kind: type[msgspec.Struct], good: Any, **more: Any) -> dict[str, Any]:
        responses = {"200": good, **common(400, 404, 503), **more}
        return {
            "get": {
                "operationId": name,
                "summary": summary,
                "parameters": [token, *parameters(kind)],
                "responses": responses,
            }
        }

    points = answer("The answer.", dict[str, Any])
    metrics = answer("The metrics of its formulas.", list[asked.SharedMetric])
    page = answer("The page.", None, "text/html")
    no_page = {
        "404": answer("There is no such share.", None, "text/html"),
        "410": answer("The share has ended.", None, "text/html"),
    }
    return {
        "/plot.svg": {
            "get": {
                "operationId": "plot_svg",
                "summary": "One or more series as a picture.",
                "parameters": parameters(asked.PlotAsked),
                "responses": {"200": picture, **unchanged, **common(400, 401, 503)},
            }
        },
        "/shares": {
            "post": {
                "operationId": "share",
                "summary": "Make a link that answers one question without a key.",
                "requestBody": body,
                "responses": made,
            }
        },
        "/s/{token}": below("share_page", "The page of a share.", asked.SharePageAsked, page, **no_page),
        "/s/{token}/plotpoints": below(
            "shared_plotpoints", "The series of a share.", asked.SharedPlotpointsAsked, points, **ended, **unchanged
        ),
        "/s/{token}/metrics_of": below(
            "shared_metrics", "The metrics of a share.", asked.SharedMetricsAsked, metrics, **ended
        ),
        "/s/{token}/plot.svg": below(
            "shared_plot", "The picture of a share.", asked.SharedPlotAsked, picture, **ended, **unchanged
        ),
    }


ADJUSTED = (
    "Buckets that `/update_count_to` set, if the answer comes from finer buckets: `metric;path=…;interval=1d;at=ms;to=number`, "
    "percent-encoded and comma-separated. `*;more=N` or `*` stands for further buckets."
)


@cache
def document() -> dict[str, Any]:
    """The whole description, as JSON holds it."""
    paths: dict[str, Any] = {}
    for path, (kind, body, summary) in QUESTIONS.items():
        good = answer("The answer.", body)
        if "explain" in kind.__struct_fields__:
            good["headers"] = {"X-Adjusted": {"description": ADJUSTED, "schema": {"type": "string"}}}
        good = explained(good) if "explain" in kind.__struct_fields__ else good
        if "format" in kind.__struct_fields__:
            good["content"] |= answer("", None, "text/csv")["content"]
        responses = {
            "200": good,
            "304": {"description": "Not modified since the ETag in If-None-Match."},
            **common(400, 401, 503, *([404] if path == "/outcomes" else [])),
        }
        form = {"content": {"application/x-www-form-urlencoded": {"schema": schema_of(kind)}}}
        paths[path] = {
            "get": {
                "operationId": path[1:],
                "summary": summary,
                "parameters": parameters(kind),
                "responses": responses,
            },
            "post": {
                "operationId": f"{path[1:]}_by_form",
                "summary": f"{summary} Use POST if the address would be too long.",
                "requestBody": form,
                "responses": {**responses, **common(413)},
            },
        }
    paths["/count_now"] = hit_operations("count_now", "Count one hit at once, without the queue.", "OK", (200, 200))
    paths["/count_decision"] = outcome_operations((200, 200))
    paths["/reward"] = _posted("reward", "Count the reward of a decision once.", asked.RewardGiven, dict[str, Any])
    paths["/tracker"] = hit_operations(
        "tracker", f"Count one hit of a visitor, whom a cookie identifies. {SEALED}", "uid", (200, 200), True
    )
    paths["/update_count_to"] = _posted(
        "update_count_to", "Set metrics of one bucket.", asked.UpdateGiven, dict[str, Any]
    )
    paths["/reset"] = _posted("reset", "Delete the counts of a pk, or of one path of it.", asked.ResetGiven, None)
    declares = "Declare units, currencies and better directions of metrics."
    paths["/metrics_of"]["put"] = _posted("declare_metrics", declares, asked.DeclaredGiven, list[Measure])["post"]
    paths |= _decisions() | _notes() | _visitors() | _following() | _shares() | _accounts() | _hiitrack()
    paths |= _talks()
    paths |= _saved("funnel", of_funnels.FunnelGiven, of_funnels.FunnelSaved)
    paths |= _saved("segment", of_following.SegmentGiven, of_following.SegmentSaved)
    paths["/health.json"] = {
        "get": {
            "operationId": "health",
            "summary": "Show the state of all parts.",
            "responses": {"200": answer("The state.", asked.State), **common(401, 503)},
        }
    }
    paths["/live_token"] = {
        "get": {
            "operationId": "live_token",
            "summary": "Say where hits can be watched, and give the token that opens a stream there.",
            "responses": {"200": answer("Where, and until when.", asked.LiveAt), **common(401)},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "HailWhale: Whale", "version": __version__, "license": {"name": "MIT"}},
        "paths": secured(paths, *KEYS, "header"),
        "components": components(
            header={"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key."}
        ),
    }
