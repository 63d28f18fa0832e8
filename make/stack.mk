# The house: start it, stop it, look into it.

COMPOSE_HOUSE = docker compose

.PHONY: setup up down purge logs migrate test-stack-up test-stack-down test-stack-status

setup: ## install the engine and make the images that tests start (root)
	@setup/up.sh setup

up: ## bring the whole house up, from whatever is there (root)
	@setup/up.sh

down: ## stop the house and keep its data
	@setup/down.sh

purge: ## erase the house and its data, after asking (YES=1 skips the question)
	@setup/down.sh purge

logs: ## follow the logs: make logs [SERVICE=memory]
	@$(COMPOSE_HOUSE) logs --tail 100 --follow $(SERVICE)

migrate: ## bring the schema up to date, or: make migrate DO=status|verify|down
	@$(COMPOSE_HOUSE) run --rm --no-deps migrate python -m migrate $(or $(DO),up)

# A second house beside the real one: its own project, state, networks, ports and name.
TEST_HOUSE = COMPOSE_PROJECT_NAME=lares-test LARES_STATE=$(CURDIR)/.lares-test LARES_NET=10.90 LARES_BRIDGE=larest \
  LARES_HTTP_PORT=8480 LARES_HTTPS_PORT=8443 LARES_LISTEN=127.0.0.1 LARES_HOST=lares.test LARES_VERSION=test

test-stack-up: ## bring up the second house that the tests attack
	@$(TEST_HOUSE) setup/up.sh

test-stack-down: ## erase the second house
	@$(TEST_HOUSE) YES=1 setup/down.sh purge
	@setup/erase-leftovers.sh lares-test

test-stack-status: ## exit 0 when the second house is up
	@docker ps -q --filter label=com.docker.compose.project=lares-test --filter label=com.docker.compose.service=caddy --filter status=running | grep -q .
