# Better models for the house: docs/runbooks/models.md.

.PHONY: models model-key

models: ## better chat models: list, NAME=..., URL=... SHA256=..., or FILE=...
	@NAME="$(NAME)" URL="$(URL)" SHA256="$(SHA256)" FILE="$(FILE)" setup/models.sh

model-key: ## keep the key of a model server outside: make model-key NAME=openai
	@NAME="$(NAME)" setup/models.sh key
