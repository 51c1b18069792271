import pydantic
import pytest

from lib.online.pipeline.parameters import PipelineParameters


def test_they_go_and_come_back(tmp_path):
    parameters = PipelineParameters(folder=tmp_path, world="M", hidden=[8, 1], servers=3)
    parameters.save(tmp_path / "parameters.json")
    assert PipelineParameters.load(tmp_path / "parameters.json") == parameters
    assert len(parameters.address_files()) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ('{"folder": "a", "wor', "Unterminated"),
        ("[]", "must be a mapping"),
        ('{"folder": "a", "colour": 3}', "colour: Extra inputs"),
        ("{}", "folder: Field required"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path, text, reason):
    path = tmp_path / "parameters.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"parameters\.json: expected the parameters") as raised:
        PipelineParameters.load(path)
    [line] = str(raised.value).splitlines()
    assert reason in line


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"logs": "log.parquet"}, "logs and features belong together"),
        ({"hidden": [8, 2]}, r"hidden must end in 1, the score; got \[8, 2\]"),
        ({"world": "Z"}, "preset must be in"),
        ({"partitions": 0}, "partitions"),
        ({"impressions_per_second": float("inf")}, "impressions_per_second"),
        ({"colour": 3}, "colour"),
    ],
)
def test_bad_values(tmp_path, values, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        PipelineParameters(folder=tmp_path, **values)
