"""Anthropic's Messages API behind OpenAI's chat completions: requests one way, answers and streams the other."""
