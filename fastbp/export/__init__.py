"""Trained networks in other languages: C, ONNX."""
