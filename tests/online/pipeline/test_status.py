from lib.online.pipeline.status import Status, read_all


def test_the_last_word_of_each(tmp_path):
    trainer, server = Status(tmp_path, "trainer"), Status(tmp_path, "server")
    trainer.tell({"steps": 1})
    trainer.tell({"steps": 2})  # a moment later: not written
    trainer.tell({"steps": 3, "loss": float("nan")}, now=True)
    server.tell({"version": 7})
    (tmp_path / "torn.json").write_text("{")
    told = read_all(tmp_path)
    assert sorted(told) == ["server", "trainer"]
    assert told["trainer"]["steps"] == 3 and told["server"]["version"] == 7
    assert told["server"]["process"] > 0


def test_a_place_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    Status(tmp_path / "file", "trainer").tell({})
