"""Data flows one way, and the core is pure: read from the imports and the names that each module uses."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {str(path.relative_to(ROOT)): path for folder in ("hail", "whale") for path in (ROOT / folder).rglob("*.py")}

PURE = {
    "hail/connections.py",
    "hail/hit.py",
    "hail/message.py",
    "hail/times.py",
    "whale/definition.py",
    "whale/dimension.py",
    "whale/errors.py",
    "whale/formula.py",
    "whale/metric.py",
    "whale/ofrep.py",
    "whale/page.py",
    "whale/period.py",
    "whale/spy.py",
    "whale/answer/chance.py",
    "whale/answer/confidence.py",
    "whale/answer/evidence.py",
    "whale/answer/experiment.py",
    "whale/answer/off_policy.py",
    "whale/answer/outcomes.py",
    "whale/answer/policy.py",
    "whale/answer/rank.py",
    "whale/answer/compare.py",
    "whale/answer/factors.py",
    "whale/answer/reasons.py",
    "whale/answer/report.py",
    "whale/answer/series.py",
    "whale/answer/split.py",
    "whale/count/denormalize.py",
    "whale/count/imports.py",
    "whale/count/mapping.py",
    "whale/count/resets.py",
    "whale/store/base.py",
    "whale/store/dated.py",
    "whale/store/keys.py",
    "whale/store/memory.py",
}
# Who may look at a clock or draw at random, and what for. Everybody else is told.
EDGES = {
    "hail/binds.py": "waiting for ports",
    "hail/pixel.py": "nonces",
    "hail/broker.py": "deadlines of confirms",
    "hail/publish.py": "deadlines; the clock stamped on messages; the name of a publisher",
    "hail/server.py": "how long connections wait",
    "hail/spool.py": "names of files",
    "hail/unreadable.py": "how often the log is told",
    "hail/web.py": "the clock of hits",
    "whale/answer/explain.py": "how long each step of an answer took",
    "whale/cli.py": "the command line",
    "whale/client.py": "the clock of questions",
    "whale/counting.py": "the name of an operation",
    "whale/deciding.py": "the name of a decision",
    "whale/count/apply.py": "waiting for the store",
    "whale/count/audit.py": "waiting for what is in flight",
    "whale/count/direct.py": "the name of a publisher",
    "whale/count/hailwail.py": "waiting for files; how old they are",
    "whale/count/importer.py": "how fast it goes; waiting for the other side",
    "whale/count/trials.py": "the name of a publisher",
    "whale/count/witness.py": "how often the spy is told",
    "whale/count/worker.py": "waiting for the store",
    "whale/doctor.py": "how old things are",
    "whale/embedded.py": "waiting for Redis",
    "whale/fasttrack.py": "the clock of what is tracked",
    "whale/middleware.py": "when a page was seen, and how long it took",
    "whale/routes/counting.py": "the uid of a new visitor",
    "whale/store/changes.py": "tokens and generations of dictionaries",
    "whale/store/numbers.py": "tokens of dictionaries",
    "whale/store/sweep.py": "tokens of dictionaries",
    "whale/tail.py": "waiting for hits",
    "whale/supervisor.py": "waiting for parts, and starting them again",
}
CLOCKS = {"time", "random", "secrets", "uuid"}  # modules
LOOKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "os.urandom"}


def imports(module: str) -> set[str]:
    """Full names of what a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: expected full names"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


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


def test_hail_has_no_redis_and_no_celery() -> None:
    assert offences("hail/", "redis", "celery") == []


def test_counting_and_answering_know_nothing_of_each_other() -> None:
    assert offences("whale/count/", "whale.answer") == []
    assert offences("whale/answer/", "whale.count") == []


def test_answers_know_no_server() -> None:
    servers = ("redis", "celery", "kombu", "amqp", "bottle", "gunicorn", "whale.store.redis")
    assert offences("whale/answer/", "whale.web", "whale.routes", *servers) == []


def test_the_store_knows_neither_answers_nor_doors() -> None:
    doors = ("whale.web", "whale.routes", "whale.client", "bottle", "celery", "kombu")
    assert offences("whale/store/", "whale.answer", *doors) == []


def test_routes_know_neither_stores_nor_queues() -> None:
    assert offences("whale/routes/", "redis", "celery", "kombu", "whale.store", "whale.count", "whale.web") == []


def test_routes_of_one_subject_know_nothing_of_another() -> None:
    shared = ("whale.routes.door", "whale.routes.remembered")
    others = [name for module in MODULES if module.startswith("whale/routes/") for name in imports(module)]
    assert [name for name in others if within(name, "whale.routes") and not within(name, *shared)] == []


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
