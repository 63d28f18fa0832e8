"""The one container with the engine's socket: two questions, no network, one file."""
