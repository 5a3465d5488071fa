"""What is said when a command does not go on: whose words they are."""

from headstart.cli.messages import refuse


def test_a_refusal_names_the_command_and_is_exit_code_1(capsys):
    assert refuse("no") == 1
    assert refuse("nor this", "headstart report") == 1
    assert capsys.readouterr() == ("", "headstart: no\nheadstart report: nor this\n")
