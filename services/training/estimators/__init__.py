"""Families of candidates, each of which becomes one ONNX graph that takes raw rows."""
