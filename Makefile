# Lares. `make help` lists the verbs; each family of verbs has its own file under make/.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# `make up LARES_HOST=home.example` reaches the scripts as environment: setup/settings.sh lists the names.
include $(sort $(wildcard make/*.mk))

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
