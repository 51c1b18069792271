"""ONNX graphs of a request.

export          the forms: naive, cached first layer, twin tower
batching        several waiting requests as one run
free_axes       the axis that a request's candidates lie on
half_precision  FP16
"""
