"""What ONNX Runtime alone must keep to."""

import subprocess
import sys


def test_onnx_runtime_keeps_no_log_of_its_use(tmp_path):
    """It would write one to the home folder as soon as it is imported."""
    code = "from lib.serving.engines import OnnxRuntime"
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
