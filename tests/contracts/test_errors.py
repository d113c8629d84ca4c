from enrapt.contracts.errors import one_line


def test_text_from_outside_cannot_control_a_terminal():
    assert one_line("two\nlines \x1b[2J") == "two lines  [2J"
    assert len(one_line("x" * 10**5)) == 200
