"""Writing: what is refused, what is one with another, and what happens to a text behind its acknowledgement."""
