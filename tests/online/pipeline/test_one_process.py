import pytest

from lib.online.pipeline.one_process import run_parts


@pytest.mark.slow
def test_all_parts_work_together(tmp_path):
    found = run_parts(tmp_path, hours=1.5, impressions_per_minute=20)
    assert found["impressions in the stream"] == 1800
    assert found["trained on, halfway and in the end"][1] == 1800
    assert found["late, repeated or dead"] == 0
    before, after = found["version that answered before and after"]
    assert 1 <= before < after == found["versions exported"]
    assert found["answers that failed"] == 0
    assert found["largest difference of a score from the exported model's"] < 1e-4
