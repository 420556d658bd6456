# make up      run HailWhale here: Hail on 127.0.0.1:8085, Whale on 127.0.0.1:8086, data in ./var
# make demo    the same with a made-up shop, of which one campaign broke; data in ./var/demo. make demo SEED=5 tells the story of seed 5
# make test    everything that is tested, on real servers; begins with make check
# make test-long   the same for more than an hour: many more inputs, other ones each time. make test-long PART=... is one part of it:
#     laws        about 25 min: 20 times as many inputs for each law, the stores and OpenAPI among them
#     oracle      about 10 min: 20 times as many answers compared with those of an oracle that knows the docs alone; all flights by each way in
#     kills       about 6 min: imports, rewards, moves of slots and programs of two versions, killed again and again
#     strangers   about 10 min: thousands of connections that mean no good, for minutes; bodies cut off at each byte
#     memory      about 20 min: the worst hits and questions for minutes, below the ceilings of memory
# make check   format, lint, types, unit tests: under a minute
# One test, in one process:  .venv/bin/python -m pytest tests/unit/test_hit.py -k any_json
# make tracker   build hail/static from hail/track, after a change of it; make check sees whether that was done
# make screenshots   pictures of each view of the dashboard, from the demo; those that the docs show in docs/pictures
# make clean   remove what make made, except the data in ./var
# Each installs what it needs first, and again only when setup.py or the requirements change.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
TWO := -n 2 --no-loadscope-reorder # tests/groups.py says which tests share a worker
LONG := $(if $(PART),long(part='$(PART)')$(if $(filter laws,$(PART)), or hypothesis),long or hypothesis)

.PHONY: setup up demo test test-long check clean servers screenshots tracker

setup: .venv/.runtime

up demo: setup
	@test -n "$$HAILWHALE_REDIS_URL" \
		|| $(BIN)/python -c 'from whale.commands.embedded import find_redis_server; find_redis_server()' 2>/dev/null \
		|| deploy/install-debian.sh redis-server
	@exec $(BIN)/hailwhale up $(if $(filter demo,$@),--demo $(if $(SEED),--seed $(SEED)))

test: check servers
	$(BIN)/python -m pytest tests --ignore tests/unit -m "not long and not alone" $(TWO) --durations=25
	$(BIN)/python -m pytest tests/integration -m "alone and not long"

test-long: .venv/.test servers
	$(BIN)/python -m pytest tests -m "$(LONG)" --hypothesis-profile long --timeout 3600 --durations=25

servers: node_modules/.installed
	@{ command -v redis-server && test -x /usr/lib/rabbitmq/bin/rabbitmq-server -a -x /usr/sbin/nginx && command -v chromium; } >/dev/null \
		|| deploy/install-debian.sh redis-server rabbitmq-server nginx-light chromium

check: .venv/.test node_modules/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy hail whale
	@built=$$(mktemp -d) && node tests/tracker/build.js $$built && diff -r $$built hail/static && rm -r $$built || { echo "run make tracker" >&2; exit 1; }
	node --test tests/tracker/*.test.js
	$(BIN)/python -m pytest tests/unit -m "not long" $(TWO) --durations=25

tracker: node_modules/.installed
	node tests/tracker/build.js hail/static

screenshots: .venv/.test servers
	@{ command -v pngquant && fc-list 2>/dev/null | grep -q Inter; } >/dev/null || deploy/install-debian.sh fonts-inter fontconfig pngquant
	$(BIN)/python -m tests.browser.pictures

clean:
	rm -rf .venv node_modules .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

node_modules/.installed: package.json package-lock.json
	@{ command -v node && command -v npm; } >/dev/null || deploy/install-debian.sh nodejs npm
	npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "HailWhale needs Python 3.11 or later: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || deploy/install-debian.sh python3-venv
	$(PYTHON) -m venv .venv

.venv/.runtime: requirements.txt setup.py | $(BIN)/python
	$(PIP) install -r requirements.txt
	$(PIP) install --no-deps -e .
	@touch $@

.venv/.test: requirements-test.txt .venv/.runtime
	$(PIP) install -r requirements-test.txt
	$(PIP) install --no-deps lifetimes==0.11.3 # for a file of real purchases; what its code needs is not
	@touch $@
