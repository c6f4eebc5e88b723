"""Wrong usage is answered in one style, with what is right and exit code 2."""

from __future__ import annotations

from tests.shell import zoo


def test_an_error_names_the_help_of_its_command():
    assert zoo("eval", "--jsn").stderr.endswith("\n     `zoo eval --help` shows its arguments and options\n")
    assert zoo("list", "--where").stderr.endswith(
        "\n     `zoo list --help` shows its arguments and options\n"
    )
    assert zoo("xyzzy").stderr.endswith("\n     `zoo --help` lists the commands\n")


def test_no_command_shows_the_help():
    done = zoo()
    assert done.returncode == 2
    assert done.stderr == zoo("--help").stdout
