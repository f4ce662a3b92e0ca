"""The torch model as ONNX graphs, with the proof that they compute the same."""
