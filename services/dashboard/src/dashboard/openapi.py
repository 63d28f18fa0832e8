"""Write the API down: `python -m dashboard.openapi > services/dashboard/web/openapi.json`. A contract test compares."""

import json
import sys

from fastapi import FastAPI
from kit.http import create_app
from kit.settings import HttpSettings

from dashboard.routes import routers


def document() -> str:
    """Return the API's description as it is committed."""
    app: FastAPI = create_app(
        "dashboard", domain="edge", settings=HttpSettings(bind="127.0.0.1"), routers=routers
    )
    return json.dumps(app.openapi(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
