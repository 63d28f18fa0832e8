"""Settings -> dependencies -> run: the only wiring."""

from fastapi import FastAPI
from kit import logs
from kit.http import create_app, serve
from kit.settings import load

from gpu_scheduler.routes import router
from gpu_scheduler.settings import Settings


def build(settings: Settings) -> FastAPI:
    """Return the application, ready to serve."""
    return create_app("gpu-scheduler", domain="inference", settings=settings, routers=[router])


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(Settings)
    logs.setup("gpu-scheduler", settings.log_level)
    serve(build(settings), settings)


if __name__ == "__main__":
    main()
