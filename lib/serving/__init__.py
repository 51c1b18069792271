"""Serving: a model as an ONNX graph, the engines that run it, the load test."""
