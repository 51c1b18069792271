"""What this project sets in a process before TensorFlow and others start there.

`import lib` sets nothing. Notebooks, the runner, workers of a sweep and our trainings call
`configure`; so may a caller who wants the same numbers.
"""

import os

SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    # Start-up lines would stand between the results of every notebook.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Where a processor has what oneDNN likes, TensorFlow says so at every start, whatever the log
    # level, and rounds in another way than elsewhere.
    "TF_ENABLE_ONEDNN_OPTS": "0",
    # Sums of floats depend on the number of threads: one thread gives the same numbers on every
    # machine. Models of these sizes lose 10 to 25 % by it, and sweeps use all cores with
    # processes. Set both to your number of cores to train one large model.
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    # ONNX Runtime would keep a log of its use in the home folder, to be sent.
    "ORT_DISABLE_TELEMETRY": "1",
}


def configure():
    """Set `SETTINGS` in this process's environment, less what the environment has already.

    To be called before TensorFlow is imported; child processes inherit it.

    >>> configure()
    >>> os.environ["ORT_DISABLE_TELEMETRY"]
    '1'
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
