"""Reach a model behind a chat completions endpoint as OpenAI defined it, from any room."""
