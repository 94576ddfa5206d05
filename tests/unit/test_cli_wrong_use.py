"""Wrong names, bad files, failing strategies: a message with what and where, a stable exit code, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli_calls import SOURCE, STRATEGY, call, isolated, started


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "up.py").write_text(STRATEGY)
    yield from isolated(monkeypatch, tmp_path)


def refusal(code: int, *arguments: str) -> str:
    """What the command says on standard error when it ends with this code; on standard output it says nothing."""
    answer = call("backtest", *arguments)
    assert answer.exit_code == code, answer.output
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    return answer.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--strategy", "upp"), "unknown strategy 'upp'; did you mean 'up'?"),
        (("--exchange", "dmo"), "unknown exchange 'dmo'; did you mean 'demo'?"),
        (("--frame", "weak"), "unknown frame 'weak'; did you mean 'week'?"),
        (("--set", "fee_precent=1"), "unknown setting 'fee_precent'; did you mean 'fee_percent'"),
        (("--set", "strategy_name=up"), "unknown setting 'strategy_name'"),
        (("--set", "fee_percent=much"), "fee_percent must be a number from 0 to 100, not 'much'"),
        (("--set", "fee_percent"), "--set fee_percent: write it as name=value"),
        (("--param", "tkae=3"), "unknown parameter 'tkae'; did you mean 'take'?"),
        (("--param", "take=12"), "take must be from 1.0 to 9.0, not 12"),
        (("--param", "count=2.5"), "count must be a whole number, not 2.5"),
        (("--param", "loud=maybe"), "loud must be true or false, not 'maybe'"),
        (("--param", "=3"), "--param =3: write it as name=value"),
        (("--from", "soon"), "'soon' is no time"),
        (("--from", "2024-02-01", "--to", "2024-01-01"), "ends before it starts"),
    ],
)
def test_a_wrong_name_or_value_is_wrong_use_and_the_message_says_what_was_meant(
    options: tuple[str, ...], said: str
) -> None:
    assert said in refusal(2, "up.py", "--symbol", "BTCUSDT", *options)


def test_an_unknown_option_is_wrong_use_with_the_nearest_option() -> None:
    assert "--symbol" in refusal(2, "up.py", "--simbol", "BTCUSDT")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("upp.py", "upp.py does not exist; did you mean 'up.py'?"),
        (".", ". is a folder; give one file of it: up.py"),
        ("notes.txt", "notes.txt is no Python file; a strategy file ends in .py"),
    ],
)
def test_what_is_no_strategy_file_is_wrong_use(path: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello\n")
    assert said in refusal(2, path)


@pytest.mark.parametrize(
    ("removed", "said"),
    [
        ("@bk.strategy", "the file registers no strategy; decorate a function with @bk.strategy"),
        ("bk.add_exchange", "the file registers no exchange; bk.add_exchange(…) names one"),
        ("bk.add_frame", "the file registers no frame; bk.add_frame(…) names one, or give --from and --to"),
    ],
)
def test_a_file_that_registers_too_little_is_told_what_is_missing(removed: str, said: str, tmp_path: Path) -> None:
    lines = [line for line in STRATEGY.splitlines() if not line.startswith(removed)]
    (tmp_path / "less.py").write_text("\n".join(lines))
    assert said in refusal(2, "less.py", "--symbol", "BTCUSDT")


def test_where_there_is_a_choice_the_option_is_named(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(STRATEGY + 'bk.add_frame("day", start="2024-01-01", end="2024-01-02")\n')
    said = refusal(2, "two.py", "--symbol", "BTCUSDT")
    assert "the file registers more than one frame: week, day; say which with --frame" in said


def test_one_end_of_a_frame_is_too_little_where_no_single_frame_gives_the_other(tmp_path: Path) -> None:
    lines = [line for line in STRATEGY.splitlines() if "add_frame" not in line]
    (tmp_path / "less.py").write_text("\n".join(lines))
    said = refusal(2, "less.py", "--symbol", "BTCUSDT", "--from", "2024-01-01")
    assert "--from and --to: give both" in said


def test_symbols_must_be_named_where_the_exchange_does_not_list_them() -> None:
    assert "exchange 'demo' does not say which symbols it has; give --symbol" in refusal(2, "up.py")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import math\ndef f(:\n    pass\n", "f.py:2: SyntaxError: invalid syntax\n    def f(:\n          ^\n"),
        ("if True:\nx = 1\n", "f.py:2: IndentationError: expected an indented block after 'if' statement on line 1"),
        ("return 5\n", "f.py:1: SyntaxError: 'return' outside function\n    return 5\n"),
        ("x = 1\n\0", "f.py holds null bytes; it is no Python source"),
        ("raise SystemExit(3)\n", "f.py ended the program (SystemExit) while it was imported"),
        ("import broken\n", "broken.py:1: SyntaxError: "),
    ],
)
def test_a_file_that_cannot_be_read_as_python_is_told_by_file_and_line(source: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 +\n")
    (tmp_path / "f.py").write_text(source)
    assert said in refusal(1, "f.py")


def test_an_exception_in_the_file_is_told_with_the_users_own_lines_alone(tmp_path: Path) -> None:
    (tmp_path / "boom.py").write_text('import json\n\ndef read():\n    return json.loads("{")\n\nread()\n')
    assert refusal(1, "boom.py").splitlines() == [
        "error: boom.py cannot be imported:",
        "  boom.py:6 in <module>",
        "    read()",
        "  boom.py:4 in read",
        '    return json.loads("{")',
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ]


def test_a_missing_module_and_a_refused_registration_are_told_at_their_line(tmp_path: Path) -> None:
    (tmp_path / "lost.py").write_text("import no_such_module_anywhere\n")
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in refusal(1, "lost.py")
    (tmp_path / "twice.py").write_text(STRATEGY + 'bk.add_exchange("demo", bk.DemoExchange())\n')
    said = refusal(1, "twice.py")
    assert "exchange 'demo' is registered already" in said
    assert 'bk.add_exchange("demo", bk.DemoExchange())' in said


def test_a_strategy_that_raises_fails_the_run_with_symbol_time_and_line(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(STRATEGY.replace("params = bk", "1 / 0\n    params = bk"))
    said = refusal(1, "f.py", "--symbol", "BTCUSDT")
    assert "strategy 'up' on BTCUSDT at 2024-01-01 00:00 UTC raised ZeroDivisionError: division by zero" in said
    assert "  f.py:9 in up\n    1 / 0\n" in said


def test_bad_candles_fail_the_run_with_the_message_of_the_check(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_text("1704067200000,10,9,11,10,1\n1704067260000,10,10,10,10,1\n")
    source = STRATEGY.replace("bk.DemoExchange(seed=1)", 'bk.FileExchange(".")')
    (tmp_path / "f.py").write_text(source)
    said = refusal(1, "f.py")
    assert said.startswith("error: ")
    assert "AAA" in said


def test_verbose_shows_the_traceback_beside_the_message(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(STRATEGY.replace("params = bk", "1 / 0\n    params = bk"))
    answer = call("backtest", "f.py", "--symbol", "BTCUSDT", "--verbose")
    assert answer.exit_code == 1
    assert "Traceback (most recent call last)" in answer.stderr
    assert "error: strategy 'up' on BTCUSDT" in answer.stderr


def test_a_folder_that_cannot_be_written_is_named_and_the_table_is_there_nevertheless(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = call("backtest", "up.py", "--symbol", "BTCUSDT", "--dump-folder", "file")
    assert answer.exit_code == 2
    assert "file/backtest/up_BTCUSDT.csv cannot be written" in answer.stderr
    assert "│ up       │ BTCUSDT │" in answer.stdout


def test_a_misspelt_variable_in_the_env_file_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CC_FEE_PRECENT=1\n")
    assert "did you mean CC_FEE_PERCENT?" in refusal(2, "up.py", "--symbol", "BTCUSDT")


def test_a_reader_that_goes_away_gets_no_traceback(tmp_path: Path) -> None:
    process = started("backtest", "up.py", "--symbol", "BTCUSDT", "--json", "--no-dump", folder=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert process.stderr.read() == ""
    process.stderr.close()


def test_the_command_line_starts_without_what_only_a_run_needs() -> None:
    heavy = "{'rich', 'pandas', 'polars', 'dotenv', 'backtest_kit.examples'}"
    program = f"import sys, backtest_kit.cli; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stdout == "[]\n"
