"""The Django application that owns the house's people."""

from django.apps import AppConfig


class HouseConfig(AppConfig):
    name = "identity.house"
    label = "house"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from identity import signals

        signals.connect()
