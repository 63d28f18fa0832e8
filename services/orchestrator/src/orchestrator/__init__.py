"""The orchestrator: turns what a person says into a planned, permitted and accounted-for act."""
