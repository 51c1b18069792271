"""ONNX Runtime on the CPU: the default engine."""

from lib.infra.settings import configure
from lib.serving.engines.engine import GraphEngine


class OnnxRuntime(GraphEngine):
    """ONNX Runtime on the CPU, in single precision.

    >>> import numpy as np
    >>> from lib.serving.graphs.export import naive, random_weights
    >>> engine = OnnxRuntime(naive(random_weights([6, 4, 1], seed=0)))
    >>> engine.input_shapes
    {'user': (1, 3), 'ads': ('candidates', 3)}
    >>> inputs = {"user": np.ones((1, 3), "f"), "ads": np.ones((5, 3), "f")}
    >>> engine.run(inputs).shape
    (5, 1)
    """

    name = "onnxruntime"

    def __init__(self, model, threads=1, precision="fp32"):
        super().__init__(model, threads, precision)
        configure()
        import onnxruntime

        self.library = f"onnxruntime {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Idle threads that spin would take the processor from the other requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            self.model, options, providers=["CPUExecutionProvider"]
        )

    def run(self, inputs):
        return self._session.run(None, inputs)[0]

    def run_all(self, inputs):
        """One request: name of an output -> its value, of every output."""
        values = self._session.run(None, inputs)
        return dict(zip((x.name for x in self._session.get_outputs()), values, strict=True))
