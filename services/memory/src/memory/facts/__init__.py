"""Facts that memories state: read from text by rules, kept over time, and tied into a graph."""
