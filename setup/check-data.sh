# Data whose secrets are not here: new secrets would not open it, and would only hide what is wrong.

if [ ! -s "$LARES_STATE/secrets/postgres/superuser_password" ] \
  && docker volume inspect "${COMPOSE_PROJECT_NAME}_postgres-data" >/dev/null 2>&1; then
  fail setup.secrets_lost "this machine holds data of the house $COMPOSE_PROJECT_NAME, and $LARES_STATE does not hold its secrets" \
    "run make up where that house was made, or copy its state folder to $LARES_STATE; for another house beside it: make up COMPOSE_PROJECT_NAME=other"
fi
