"""Turns text into vectors: all-MiniLM-L6-v2 as int8 ONNX, verified against the real model."""
