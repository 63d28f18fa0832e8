"""Turns what was said into text, by OpenAI's audio API."""
