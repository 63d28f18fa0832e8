"""The one door to every model."""
