"""What the page asks a reader with a GPU to do, as far as a machine without one can."""

import re

import onnx

from lib.run.plan import plan
from tests import ROOT

PAGE = (ROOT / "docs" / "your_gpu.md").read_text()


def test_the_page_s_graph_is_half_precision_of_fixed_shapes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    exec(code, {})
    graph = onnx.shape_inference.infer_shapes(onnx.load("base_fp16.onnx"), strict_mode=True).graph
    lengths = {
        one.name: [dimension.dim_value for dimension in one.type.tensor_type.shape.dim]
        for one in (*graph.input, *graph.value_info, *graph.output)
    }
    assert lengths["ad_parts"] == [1500, 1024] and lengths["scores"] == [1500, 1]
    assert all(all(shape) for shape in lengths.values())  # no free axis is left
    weights = {one.data_type for one in graph.initializer}
    assert onnx.TensorProto.FLOAT16 in weights and onnx.TensorProto.FLOAT not in weights


def test_the_profile_asks_for_what_the_paper_served_with():
    (job,) = plan(profile="gpu")
    assert (job.stem, job.values["engine"]) == ("03_cost_simulation", "tensorrt")
    assert (job.values["precision"], job.values["candidates"]) == ("fp16", 1500)
    assert str(job.output.relative_to(ROOT)) in PAGE
