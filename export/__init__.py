"""Freezing a trained policy into a streaming ONNX bundle."""
