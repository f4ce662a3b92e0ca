"""Options by their earlier names."""

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from marssep_rt.cli import file, live
from marssep_rt.cli.options import MixerOptions
from marssep_rt.cli.renamed import RENAMED, modern
from marssep_rt.errors import UsageError
from marssep_rt.live.control.presets import Preset

FILE, LIVE = get_command(file.app).params, get_command(live.app).params


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        (FILE, ["--remove", "a.wav"], ["--mode", "residual", "a.wav"]),
        (FILE, ["--limit", "20", "--residual"], ["--attenuation-limit", "20", "--write-residual"]),
        (FILE, ["--limit=20"], ["--attenuation-limit=20"]),
        (LIVE, ["--to", "1", "--to", "2"], ["--output-channel", "1", "--output-channel", "2"]),
    ],
)
def test_an_earlier_name_is_read_as_todays_and_says_so_once_a_use(command, old, new, capsys):
    assert modern(old, command) == new
    said = capsys.readouterr().err.splitlines()
    assert len(said) == sum(word.partition("=")[0] in RENAMED for word in old)
    assert all("now; the old name goes with the next release" in line for line in said)


@pytest.mark.parametrize(
    "words",
    [
        ["--query", "--remove", "a.wav"],  # a value
        ["--", "--limit"],  # a file
        ["--mode", "residual", "--write-residual", "--attenuation-limit", "20"],
        ["--towers", "x"],  # no option of this command, today or earlier
    ],
)
def test_what_is_no_earlier_name_stays(words, capsys):
    assert modern(words, FILE) == words
    assert capsys.readouterr().err == ""


def test_a_command_takes_the_earlier_name_and_its_help_shows_todays():
    done = CliRunner().invoke(file.app, ["--query", "rain", "x.wav", "--limit", "-1"])
    assert done.exit_code == 2
    assert "--limit is called --attenuation-limit now" in done.output
    assert "limit is -1 dB; it must be at least 0" in " ".join(done.output.split())
    shown = CliRunner().invoke(file.app, ["--help"], env={"COLUMNS": "200"}).output
    assert "--attenuation-limit" in shown
    assert "--limit" not in shown
    assert "--remove" not in shown


def test_the_mode_on_the_command_line_wins_over_the_presets():
    preset = Preset(remove=True)
    assert MixerOptions().controls(preset).remove
    assert not MixerOptions(mode="target").controls(preset).remove
    assert MixerOptions(mode="residual").controls().remove
    with pytest.raises(UsageError, match="choose target or residual"):
        MixerOptions(mode="rest").controls()


def test_every_training_and_export_option_has_an_earlier_name_that_works():
    training = pytest.importorskip("offline_training.cli.app")
    export = pytest.importorskip("export.cli")
    commands = [*get_command(training.app).commands.values(), *get_command(export.app).commands.values()]
    names = {name for command in commands for parameter in command.params for name in parameter.opts}
    names |= {name for parameter in (*FILE, *LIVE) for name in parameter.opts}
    assert not names & RENAMED.keys()
    assert {new[0] for new in RENAMED.values()} <= names
    evaluate = get_command(training.app).commands["evaluate"]
    given = ["--photos", "p.csv", "--pictures", "d", "--left-out-by", "r"]
    context = evaluate.make_context("evaluate", given)
    assert [str(context.params[key]) for key in ("images", "plots", "unseen_from")] == given[1::2]
