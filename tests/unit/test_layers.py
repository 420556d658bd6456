"""Data flows one way, and the core is pure: read from the imports and the names that each module uses."""

import ast
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {str(path.relative_to(ROOT)): path for folder in ("hail", "whale") for path in (ROOT / folder).rglob("*.py")}

PURE = {
    "hail/connections.py",
    "hail/directory.py",
    "hail/geo.py",
    "hail/hit.py",
    "hail/live.py",
    "hail/salts.py",
    "hail/signed.py",
    "hail/tracking/aktivat.py",
    "hail/tracking/sources.py",
    "hail/tracking/translation.py",
    "hail/tracking/wire.py",
    "hail/meant.py",
    "hail/message.py",
    "hail/times.py",
    "hail/units.py",
    "hail/usual.py",
    "whale/accounts.py",
    "whale/cells.py",
    "whale/dimension.py",
    "whale/errors.py",
    "whale/events.py",
    "whale/formula.py",
    "whale/live/admission.py",
    "whale/metric.py",
    "whale/routes/ofrep.py",
    "whale/logins.py",
    "whale/routes/login_page.py",
    "whale/routes/share_page.py",
    "whale/period.py",
    "whale/passwords.py",
    "whale/plot.py",
    "whale/sessions.py",
    "whale/share.py",
    "whale/spy.py",
    "whale/sums.py",
    "whale/tries.py",
    "whale/answer/ids.py",
    "whale/answer/event_counts.py",
    "whale/answer/rank_details.py",
    "whale/answer/paths.py",
    "whale/answer/ranges.py",
    "whale/answer/retention.py",
    "whale/answer/sessions.py",
    "whale/answer/sets.py",
    "whale/answer/streams.py",
    "whale/answer/visited.py",
    "whale/answer/visit_rows.py",
    "whale/answer/visits.py",
    "whale/answer/conditions.py",
    "whale/answer/funnels.py",
    "whale/answer/split.py",
    "whale/answer/change.py",
    "whale/formatting.py",
    "whale/answer/confidence.py",
    "whale/answer/measures.py",
    "whale/answer/pks.py",
    "whale/answer/rank.py",
    "whale/answer/days_counted.py",
    "whale/answer/compare.py",
    "whale/answer/factors.py",
    "whale/answer/notes.py",
    "whale/answer/series.py",
    "whale/answer/sheets.py",
    "whale/answer/shifts.py",
    "whale/answer/change_points.py",
    "whale/count/amounts.py",
    "whale/count/denormalize.py",
    "whale/count/event_paths.py",
    "whale/count/extras.py",
    "whale/count/gather.py",
    "whale/commands/imports.py",
    "whale/commands/mapping.py",
    "whale/commands/crowd.py",
    "whale/commands/shop.py",
    "whale/count/resets.py",
    "whale/count/said.py",
    "whale/count/sections.py",
    "whale/count/taken.py",
    "whale/count/tallies.py",
    "whale/decide/chance.py",
    "whale/decide/definition.py",
    "whale/decide/evidence.py",
    "whale/decide/experiment.py",
    "whale/decide/exploration.py",
    "whale/decide/off_policy.py",
    "whale/decide/outcomes.py",
    "whale/decide/policy.py",
    "whale/decide/reasons.py",
    "whale/decide/report.py",
    "whale/decide/split.py",
    "whale/store/accounts.py",
    "whale/store/base.py",
    "whale/store/dated.py",
    "whale/store/redis/keys.py",
    "whale/store/memory.py",
    "whale/visitors/columns.py",
    "whale/visitors/crowd.py",
    "whale/visitors/deeds.py",
    "whale/visitors/entries.py",
    "whale/visitors/identity.py",
    "whale/visitors/keyed.py",
    "whale/visitors/parts.py",
    "whale/visitors/record.py",
    "whale/visitors/tail.py",
}
# Who may look at a clock or draw at random, and what for. Everybody else is told.
EDGES = {
    "hail/binds.py": "waiting for ports",
    "hail/pixel.py": "nonces",
    "hail/broker.py": "deadlines of confirms",
    "hail/informed.py": "when Whale last answered, and may take",
    "hail/publish.py": "deadlines; the clock stamped on messages; the name of a publisher",
    "hail/server.py": "how long connections wait",
    "hail/spool.py": "names of files",
    "hail/unreadable.py": "how often the log is told",
    "hail/web.py": "the clock of hits",
    "whale/answer/explain.py": "how long each step of an answer took",
    "whale/cli.py": "the command line",
    "whale/client.py": "the clock of questions",
    "whale/library/counting.py": "the name of an operation",
    "whale/library/refusals.py": "the name of what was refused",
    "whale/library/deciding.py": "the name of a decision",
    "whale/library/noting.py": "the id of a note",
    "whale/count/apply.py": "waiting for the store",
    "whale/count/standing.py": "when the directory was looked at; its words",
    "whale/commands/agent.py": "the clock of its hits, and their names",
    "whale/health/audit.py": "waiting for what is in flight",
    "whale/health/probe.py": "when something was last looked at",
    "whale/health/hails.py": "how long a Hail may take",
    "whale/health/watch.py": "how long an answer may wait",
    "whale/count/direct.py": "the name of a publisher",
    "whale/count/hailwail.py": "waiting for files; how old they are",
    "whale/commands/importer.py": "how fast it goes; waiting for the other side",
    "whale/count/visitor_log.py": "how long records of sites are remembered",
    "whale/count/witness.py": "how often the spy is told",
    "whale/count/worker.py": "waiting for the store",
    "whale/decide/trials.py": "the name of a publisher",
    "whale/commands/demo.py": "what has happened by now; the seed of a story",
    "whale/commands/check.py": "waits for Hail to hear of a new site",
    "whale/commands/doctor.py": "how old things are",
    "whale/commands/entries.py": "when an admin acts; ids, secrets and salts",
    "whale/commands/embedded.py": "waiting for Redis; the secret of a data folder",
    "whale/fasttrack.py": "the clock of what is tracked",
    "whale/live/push.py": "how long a page waits; when pings are sent",
    "whale/live/relay.py": "when pings are sent; the pace of events",
    "whale/live/web.py": "how long a stream lasts; the clock of tokens; the name of a process",
    "whale/middleware.py": "when a page was seen, and how long it took",
    "whale/routes/counting.py": "the uid of a new visitor",
    "whale/store/talks.py": "the store's own clock, as Redis has one",
    "whale/store/events.py": "the store's own clock, as Redis has one; names and secrets of logs",
    "whale/store/redis/compaction.py": "words of tails and indexes; names of parts",
    "whale/store/redis/events.py": "words of tails",
    "whale/store/redis/site_logs.py": "names and secrets of logs",
    "whale/store/redis/changes.py": "tokens and generations of dictionaries",
    "whale/store/redis/numbers.py": "tokens of dictionaries",
    "whale/store/redis/sweep.py": "tokens of dictionaries",
    "whale/store/redis/whole.py": "stamps",
    "whale/commands/tail.py": "waiting for hits",
    "whale/web.py": "keys under which passwords and tries are remembered; ids, secrets and salts that an admin asks for",
    "whale/commands/supervisor.py": "waiting for parts, and starting them again",
}
# What Whale may use of Hail: the ground that both services stand on.
FROM_HAIL = {
    "directory": "Account Answer CONTENT_TYPE Gone Key Pixels Scope Site State record_of state_of",
    "columns": "Hits NewerMessage check_version hashes_of ids_of joinings_of keys_of messages_of read_envelope runs",
    "access": (
        "ALLOW_ORIGIN ANY_MODULE ANY_ORIGIN Access BROWSER Caller EXPOSE GET INTERNAL MAX_SHOWN READ Right check_bind "
        "has_directory is_locked is_trusted is_trusted_by methods_of Pages preflight right_of WRITE"
    ),
    "binds": "address_of check_free url_of",
    "callers": "Callers foreign_page is_secret",
    "cookies": "Jar PORTS Told is_cross_site says_where scheme_of token_in told",
    "body": "FORM is_json json_of kind_of looks_like_json read_body",
    "broker": "Broker TASK away check_broker dead_name dead_queue queue setup_fault",
    "connections": "peer_of",
    "geo": "areas_of",
    "hiitrack": "batch_of hit_of_event hit_of_properties json_in sets_of",
    "hit": (
        "BOTS DAILY DECIDED DECIDED_FIELDS Dimensions EXPECTED FIELDS Hit HitError LENIENT_BITS MAX_AMOUNT MAX_NUMBER "
        "MILLION MOMENTS MOMENTS_KIND MOST_PROPERTIES MOST_LISTED MOST_MOMENTS OLDEST_S "
        "properties_of Others RESERVED ROOT_TEXT Reason Row encode_hit encode_row is_text "
        "fields_of lenient millionths name_of of_millionths parse_decided parse_hit parse_time row_of_hit wire_of wire_part "
        "with_moments"
    ),
    "live": "Heard PUSH heard_by is_drawn live_origin with_port_of",
    "meant": "did_you_mean near nearest",
    "message": (
        "ACCOUNT BadMessage CAME_BYTES CONTENT_TYPE Envelope MAX_REFUSALS Mark Message NOBODY OthersOnWire UNREADABLE VERSION "
        "WireHit decode_message encode_message"
    ),
    "metrics": "CONTENT_TYPE exposition tell_held",
    "openapi": (
        "Amounts FORMS KEYS Name Names SEALED answer common components hit_operations outcome_operations parameters schema_of secured"
    ),
    "parameters": "CALLBACK not_here",
    "pixel": "fields_of_pixel token_of",
    "problem": "HOST Unrouted seen_from",
    "publish": "NotAccepted Publisher",
    "signed": "said_by signed",
    "salts": "CONTENT_TYPE SALT_BYTES dates_at record_of",
    "room": "Bounded COST MEGABYTE Room WIDE calendar few_arenas few_collections give_back held keep_freed "
    "look_for_garbage resident_bytes rest",
    "secret": "derived masked secrets_of signing_keys without_keys",
    "settings": (
        "DAY DISTINCT HOUR KINDS MINUTE MONTH PREFIX QUANTILE Retention SUM Settings SettingsError check_redis_url load origin_of"
    ),
    "spool": "MEGABYTE SpoolFile SpoolFolder",
    "tracking.agents": "Agent",
    "tracking.translation": "Around seen_of",
    "tracking.wire": "Tracked",
    "times": "ACCEPTED EPOCH MILLISECOND NoTime SECOND came is_time shown time_of",
    "units": "Declaration NotDeclared declaration_of",
}
CUTS = {
    "split",
    "rsplit",
    "partition",
    "rpartition",
    "find",
    "rfind",
    "index",
    "rindex",
    "removesuffix",
    "removeprefix",
}
SERVERS = ("redis", "celery", "kombu", "amqp", "bottle", "gunicorn", "whale.store.redis")
CLOCKS = {"time", "random", "secrets", "uuid"}  # modules
LOOKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "os.urandom"}


def imports(module: str) -> set[str]:
    """Full names of what a module imports, wherever in it."""
    return imported(nodes_of(module))


def nodes_of(module: str) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(MODULES[module].read_text()))


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{node.module}: expected full names"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def taken_from_hail(module: str) -> set[str]:
    """Full names of what a module takes from hail, of a module that it imports as a whole the names that it uses."""
    found = {name for name in imports(module) if within(name, "hail")}
    whole = {name for name in found if name.count(".") == 1}
    attributes = [node for node in nodes_of(module) if isinstance(node, ast.Attribute)]
    used = {f"hail.{ast.unparse(node)}" for node in attributes if f"hail.{ast.unparse(node.value)}" in whole}
    return found - whole | used


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def looks_at_a_clock(module: str) -> bool:
    if any(within(name, *CLOCKS) for name in imports(module)):
        return True
    tree = ast.parse(MODULES[module].read_text())
    names = (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return any(name in LOOKS or name.removeprefix("datetime.") in LOOKS for name in names)


def offences(folder: str, *forbidden: str) -> list[str]:
    return [
        f"{module} imports {name}"
        for module in sorted(MODULES)
        if module.startswith(folder)
        for name in sorted(imports(module))
        if within(name, *forbidden)
    ]


def test_hail_knows_nothing_of_whale() -> None:
    assert offences("hail/", "whale") == []


def test_whale_uses_a_written_list_of_names_of_hail() -> None:
    used = {name for module in MODULES if module.startswith("whale/") for name in taken_from_hail(module)}
    listed = {f"hail.{module}.{name}" for module, names in FROM_HAIL.items() for name in names.split()}
    assert sorted(used - listed) == []
    assert [
        name for name in listed if not hasattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2])
    ] == []


def test_those_who_count_need_the_broker_and_no_publisher() -> None:
    assert offences("whale/count/", "hail.publish", "hail.accept", "hail.formats", "hail.web") == []


def test_formats_know_nothing_of_routes_queues_and_stores() -> None:
    assert offences("hail/formats/", "hail.web", "hail.publish", "hail.broker", "hail.spool", "bottle") == []
    assert offences("hail/accept.py", "hail.web", "hail.formats", "hail.answers", "bottle") == []


def cuts_bytes_at_commas(module: str) -> bool:
    """Whether it splits or searches bytes by a text with a comma in it, as only who knows the wire form of a hit can."""
    calls = (node for node in nodes_of(module) if isinstance(node, ast.Call))
    return any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr in CUTS
        and any(
            isinstance(arg, ast.Constant) and isinstance(arg.value, bytes) and b"," in arg.value for arg in call.args
        )
        for call in calls
    )


def test_only_two_modules_know_how_a_hit_lies_in_bytes() -> None:
    answers = {"whale/answer/shapes.py"}  # cuts numbers that it wrote itself
    assert {module for module in MODULES if cuts_bytes_at_commas(module)} - answers <= {
        "hail/hit.py",
        "hail/message.py",
    }
    private = (
        "hail.message._BETWEEN",
        "hail.message._OPENED",
        "hail.message._CLOSED",
        "hail.hit._encode",
    )
    assert offences("", *private) == []


def test_hail_has_no_redis_and_no_celery() -> None:
    assert offences("hail/", "redis", "celery") == []


def test_counting_and_answering_know_nothing_of_each_other_and_of_decisions() -> None:
    assert offences("whale/count/", "whale.answer", "whale.decide") == []
    assert offences("whale/answer/", "whale.count", "whale.decide") == []


def test_decisions_may_ask_and_only_their_door_counts() -> None:
    doors = ("whale.web", "whale.routes", "whale.library", "whale.client", "whale.commands")
    assert offences("whale/decide/", *doors, *SERVERS) == []
    assert offences("whale/decide/", "whale.count") == [
        "whale/decide/decider.py imports whale.count.direct.Direct",
        "whale/decide/decider.py imports whale.count.direct.Named",
    ]


def test_answers_know_no_server() -> None:
    assert offences("whale/answer/", "whale.web", "whale.routes", *SERVERS) == []


def test_the_store_knows_neither_who_counts_nor_who_asks() -> None:
    doors = ("whale.web", "whale.routes", "whale.client", "bottle", "celery", "kombu")
    assert offences("whale/store/", "whale.count", "whale.answer", "whale.decide", *doors) == []


def test_no_module_needs_itself_by_way_of_others() -> None:
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in MODULES}

    def needed(module: str) -> set[str]:
        """What it imports before it can be used, and for its types: all but what a function imports when it is called."""
        tree = ast.parse(MODULES[module].read_text())
        late = {
            node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
        }
        names = imported(node for node in ast.walk(tree) if node not in late)
        return {name if name in modules else name.rpartition(".")[0] for name in names} & modules.keys()

    TopologicalSorter({name: needed(path) for name, path in modules.items()}).prepare()  # CycleError names the circle


def test_a_part_of_a_store_holds_others_and_is_none_of_them() -> None:
    classes = {
        node.name: (module, {ast.unparse(base) for base in node.bases})
        for module in MODULES
        if module.startswith("whale/store/")
        for node in nodes_of(module)
        if isinstance(node, ast.ClassDef)
    }
    parts = {name: bases for name, (module, bases) in classes.items() if module.startswith("whale/store/redis/")}
    assert {name: bases & classes.keys() for name, bases in parts.items() if bases & classes.keys()} == {}


def test_routes_know_neither_stores_nor_queues() -> None:
    assert offences("whale/routes/", "redis", "celery", "kombu", "whale.store", "whale.count", "whale.web") == []


def test_routes_ask_the_store_nothing_but_whether_it_takes_writes() -> None:
    nodes = (node for module in MODULES if module.startswith("whale/routes/") for node in nodes_of(module))
    asked = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    assert {name for name in asked if ".store." in name} == {"self._whale.store.check_writable"}


def test_the_library_knows_no_routes_and_answers_no_library() -> None:
    assert offences("whale/library/", "whale.web", "whale.routes", "bottle") == []
    assert offences("whale/answer/", "whale.library", "whale.client") == []


def test_only_the_command_line_knows_commands() -> None:
    users = {offence.split()[0] for offence in offences("", "whale.commands")}
    assert {module for module in users if not module.startswith("whale/commands/")} == {"whale/cli.py"}


def test_the_state_of_all_parts_is_known_to_those_who_show_it_alone() -> None:
    users = {offence.split()[0] for offence in offences("whale/", "whale.health")}
    assert {module for module in users if not module.startswith(("whale/health/", "whale/commands/"))} == {
        "whale/client.py"
    }
    assert offences("whale/health/", "whale.commands", "whale.routes", "whale.web", "bottle") == []


def test_routes_of_one_subject_know_nothing_of_another() -> None:
    subjects = (
        "accounts",
        "counting",
        "decisions",
        "following",
        "funnels",
        "hiitrack",
        "hiitrack_events",
        "hiitrack_reports",
        "internal",
        "login",
        "notes",
        "questions",
        "segments",
        "service",
        "shares",
        "visitors",
    )
    assert offences("whale/routes/", *(f"whale.routes.{subject}" for subject in subjects)) == []


@pytest.mark.parametrize("module", sorted(PURE))
def test_the_core_is_pure(module: str) -> None:
    assert not looks_at_a_clock(module)
    assert not [name for name in imports(module) if within(name, "redis", "celery", "kombu", "bottle", "os", "socket")]


def test_only_the_edges_look_at_a_clock_or_draw_at_random() -> None:
    assert PURE - MODULES.keys() == set()
    assert not PURE & EDGES.keys()
    assert sorted(module for module in MODULES if looks_at_a_clock(module) and module not in EDGES) == []
    assert EDGES.keys() - MODULES.keys() == set()


def test_only_edges_read_the_environment() -> None:
    readers = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and ast.unparse(node.value) == "os"
    }
    assert not readers & PURE
    assert "hail/settings.py" not in readers
