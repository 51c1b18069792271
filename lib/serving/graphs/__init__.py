"""ONNX graphs of a request.

export          the forms: naive, cached first layer, twin tower
batching        several waiting requests as one run
half_precision  FP16
"""
