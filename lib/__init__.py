"""What a bigger retrieval model is worth in money, and what it costs.

One module an idea: see the map in README.md. Notebooks call `lib`; `lib` never
knows notebooks.
"""
import os

# Before TensorFlow is imported anywhere: its start-up lines would stand between
# the results of every notebook.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Where a processor has what oneDNN likes, TensorFlow says so at every start, whatever the log
# level, and rounds in another way than elsewhere.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# ONNX Runtime would keep a log of its use in the home folder, to be sent.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Sums of floats depend on the number of threads: one thread gives the same numbers on
# every machine. Models of these sizes lose 10 to 25 % by it, and sweeps use all cores
# with processes. Set both to your number of cores to train one large model.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
