# The same commands here, in CI and before a commit.
PYTHON ?= .venv/bin/python

.PHONY: check test lint types layers format

# A contributor's ring: decisions, protocol and orchestration. Some tests wait, so twice as
# many processes as there are processors.
PROCESSES ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
test:
	$(PYTHON) -m pytest -q -n $(PROCESSES) --dist loadgroup \
		tests/unit tests/contract $(wildcard tests/harness)

# Lines that unit and harness tests reach, by package; fails below the bounds.
.PHONY: coverage
coverage:
	$(PYTHON) -m coverage run -m pytest -q -n 0 tests/unit tests/harness
	$(PYTHON) -m benchmarks.covered

check: lint types layers shell

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

layers:
	PYTHONPATH=. .venv/bin/lint-imports --no-cache

.PHONY: shell
shell:
	@if command -v shellcheck >/dev/null; then shellcheck -x migrate start.sh stop.sh run_tests.sh deploy/*.sh deploy/*/*.sh deploy/completion.bash tests/support/bin/* .ci/run; \
	elif [ -n "$$CI" ]; then echo "shellcheck is missing under CI" >&2; exit 1; \
	else echo "shellcheck is not installed: shell scripts not checked"; fi

format:
	$(PYTHON) -m migration.release
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .
