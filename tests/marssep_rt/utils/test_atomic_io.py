"""Files are whole or as they were: errors in the midst, places that cannot be written."""

import pytest

from marssep_rt.errors import MarssepError
from marssep_rt.utils.atomic_io import write_whole, written_beside


@pytest.mark.parametrize("before", [None, "old"])
def test_an_error_in_the_midst_leaves_what_was_there(tmp_path, before):
    path = tmp_path / "x.json"
    if before is not None:
        write_whole(path, before)

    def interrupted():
        with written_beside(path) as beside:
            beside.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [p.read_text() for p in tmp_path.iterdir()] == ([] if before is None else [before])


@pytest.mark.parametrize("content", ["größer\n", b"\x00\xff"])
def test_content_arrives_as_it_is_over_what_was_there(tmp_path, content):
    write_whole(tmp_path / "x", "old")
    write_whole(tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written_is_said_and_nothing_is_left(tmp_path):
    with pytest.raises(MarssepError, match=r"cannot write .*nowhere.*: No such file or directory"):
        write_whole(tmp_path / "nowhere" / "x", "")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "inside").touch()
    with pytest.raises(MarssepError, match="Is a directory"):
        write_whole(tmp_path / "x", "")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
