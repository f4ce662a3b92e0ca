"""A model bundle on disk and its graph in ONNX Runtime."""
