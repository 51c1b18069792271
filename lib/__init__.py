"""What a bigger retrieval model is worth in money, and what it costs.

One module an idea: see the map in README.md. Notebooks call `lib`; `lib` never
knows notebooks.
"""
import os

# Before TensorFlow is imported anywhere: its start-up lines would stand between
# the results of every notebook.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
