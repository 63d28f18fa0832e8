# The developers' verbs: environment, lock, checks, tests, scaffold.

PY := .venv/bin/python
PYTEST := $(PY) -m pytest
ARGS ?=

.PHONY: venv lock docs fmt tidy unit contract integration test e2e hostile chaos bench service

.venv/requirements.lock: requirements.lock
	@tools/venv.sh

venv: .venv/requirements.lock ## make .venv, the developers' environment, as requirements.lock says

# Extra indexes and local wheels of this machine must not leak into the lock; a mirror of the public index may serve it.
lock: ## resolve every service's dependencies into requirements.lock
	@test -x .venv/bin/uv || tools/venv.sh
	@env -u UV_EXTRA_INDEX_URL -u UV_INDEX -u UV_FIND_LINKS .venv/bin/uv pip compile -q --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-package lares-kit --no-emit-package lares-contracts \
	  --custom-compile-command "make lock" --output-file requirements.lock $(LOCKFLAGS) \
	  $(sort $(wildcard services/*/pyproject.toml)) requirements.in
	@tools/venv.sh

docs: venv ## write docs/errors.md, docs/settings.md, docs/gpu-models.md and the golden schemas from the code
	@$(PY) tools/catalogue.py
	@$(PY) tools/settings_reference.py
	@$(PY) tools/gpu_models_reference.py
	@$(PY) tools/golden_schemas.py

fmt: venv ## format and mend what ruff can
	@.venv/bin/ruff format -q . && .venv/bin/ruff check -q --fix .

tidy: venv ## name what is missing or out of shape: style, types, sizes, walls, imports
	@$(PYTEST) tests/tidy $(ARGS)

unit: venv ## every service's tests that need no container engine
	@$(PYTEST) services -m "not integration and not stack and not e2e and not hostile and not chaos and not bench" $(ARGS)

contract: venv ## error catalogue, settings reference, golden schemas
	@$(PYTEST) tests/contract $(ARGS)

integration: venv ## tests against real Postgres and Valkey containers
	@$(PYTEST) services tests -m "integration and not stack" $(ARGS)

# One run of one runner, in this order (tests/conftest.py): tidy, unit, contract, integration, then the real stack,
# brought up by the first test that needs it: reachability, e2e, hostile, chaos. The runner's summary is the last thing
# printed and its exit status the outcome; the test stack goes down whatever happens.
test: setup venv ## everything, on a stack of its own: the house that runs is never touched (root)
	@tools/browser.sh >/dev/null
	@$(MAKE) test-stack-down >/dev/null 2>&1 || true
	@trap '$(MAKE) test-stack-down >/dev/null 2>&1 || true' EXIT; trap 'exit 130' INT TERM; \
	  LARES_TEST_URL=https://lares.test:8443 $(PYTEST) tests services -m "not bench" $(ARGS)

e2e: venv ## drive the test stack as a person would, in a real browser
	@tools/browser.sh >/dev/null
	@$(PYTEST) tests services -m "e2e" $(ARGS)

hostile: venv ## attack the test stack and its databases
	@$(PYTEST) tests services -m "hostile" $(ARGS)

chaos: venv ## kill the test stack's containers while a client talks
	@$(PYTEST) tests services -m "chaos" $(ARGS)

bench: venv ## measure; results go to tests/bench/results
	@$(PYTEST) tests/bench -m "bench" $(ARGS)

service: venv ## scaffold a service: make service NAME=tagger DOMAIN=memory
	@$(PY) tools/scaffold/scaffold.py --name "$(NAME)" --domain "$(DOMAIN)"
