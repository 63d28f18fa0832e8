"""Serves one GGUF model over OpenAI's protocol, inside the house."""
