"""Settings: one table, judged as a whole, read from the environment, typos answered (H8u)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from backtest_kit.core.values import Terms
from backtest_kit.errors import ConfigError
from backtest_kit.settings import SETTINGS, Settings, changed, differing, from_environment, load_environment


def test_every_setting_stands_in_the_table_and_its_default_passes_its_check():
    assert tuple(SETTINGS) == Settings.__struct_fields__
    defaults = Settings()
    assert changed(defaults, **{name: getattr(defaults, name) for name in SETTINGS}) == defaults


def test_every_setting_is_explained_in_one_line():
    for name, setting in SETTINGS.items():
        assert setting.note, name
        assert "\n" not in setting.note
        assert setting.check.wanted


def test_settings_are_terms():
    assert isinstance(Settings(), Terms)
    assert Settings().breakeven_percent == pytest.approx(0.6)


def test_a_change_makes_new_settings_and_leaves_the_old_ones():
    before = Settings()
    after = changed(before, fee_percent=0.04, on_gap="skip", max_signal_lifetime_minutes=None, data_folder=Path("x"))
    assert (after.fee_percent, after.on_gap, after.max_signal_lifetime_minutes, after.data_folder) == (
        0.04,
        "skip",
        None,
        "x",
    )
    assert before == Settings()


def test_numbers_come_out_in_exact_types():
    after = changed(Settings(), fee_percent=np.int64(1), avg_price_candles=np.int32(3), slippage_percent=0)
    assert [type(each) for each in (after.fee_percent, after.avg_price_candles, after.slippage_percent)] == [
        float,
        int,
        float,
    ]


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("fee_percent", "0.1", "must be a number from 0 to 100, not '0.1'"),
        ("fee_percent", True, "must be a number from 0 to 100, not True"),
        ("fee_percent", -0.1, "not -0.1"),
        ("fee_percent", float("nan"), "not nan"),
        ("fee_percent", None, "not None"),
        ("avg_price_candles", 5.0, "must be a whole number from 1 to 1,000, not 5.0"),
        ("avg_price_candles", 0, "not 0"),
        ("avg_price_candles", False, "not False"),
        ("max_signal_lifetime_minutes", 0, "or None \\(no limit\\), not 0"),
        ("exit_rule", "tuoch", 'must be "touch" or "stop_touch" or "vwap", not \'tuoch\''),
        ("on_error", 1, 'must be "raise" or "continue", not 1'),
        ("long_enabled", 1, "must be true or false, not 1"),
        ("data_folder", " ", "must be the path of a folder"),
        ("data_folder", 5, "must be the path of a folder"),
    ],
)
def test_a_value_of_the_wrong_kind_or_out_of_range_is_refused(name, value, wanted):
    with pytest.raises(ConfigError, match=wanted) as caught:
        changed(Settings(), **{name: value})
    assert str(caught.value).startswith(name)


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        changed(Settings(), fee_percent=-1, exit_rule="x", slipage_percent=0.1)
    text = str(caught.value)
    assert "fee_percent must be" in text
    assert "exit_rule must be" in text
    assert "unknown setting 'slipage_percent'; did you mean 'slippage_percent'" in text


def test_settings_are_judged_as_a_whole():
    with pytest.raises(ConfigError, match="min_stop_loss_distance_percent 30 is more than"):
        changed(Settings(), min_stop_loss_distance_percent=30)
    off = changed(Settings(), min_stop_loss_distance_percent=30, max_stop_loss_distance_percent=0)
    assert off.min_stop_loss_distance_percent == 30


def test_the_environment_sets_any_setting_from_its_text():
    found = from_environment(
        {
            "CC_FEE_PERCENT": " 0.04 ",
            "CC_AVG_PRICE_CANDLES": "3",
            "CC_EXIT_RULE": "vwap",
            "CC_SHORT_ENABLED": "no",
            "CC_DCA_EVERYWHERE": "TRUE",
            "CC_MAX_SIGNAL_LIFETIME_MINUTES": "none",
            "CC_DATA_FOLDER": "/data",
            "FEE_PERCENT": "9",
        }
    )
    assert differing(found) == {
        "fee_percent": 0.04,
        "avg_price_candles": 3,
        "max_signal_lifetime_minutes": None,
        "exit_rule": "vwap",
        "short_enabled": False,
        "dca_everywhere": True,
        "data_folder": "/data",
    }


def test_the_environment_changes_settings_that_are_given():
    assert from_environment({}, changed(Settings(), fee_percent=0)).fee_percent == 0


def test_a_bad_text_in_the_environment_names_the_variable():
    with pytest.raises(ConfigError, match="CC_FEE_PERCENT must be a number from 0 to 100, not 'much'"):
        from_environment({"CC_FEE_PERCENT": "much"})
    with pytest.raises(ConfigError, match="CC_SHORT_ENABLED must be true or false, not 'maybe'"):
        from_environment({"CC_SHORT_ENABLED": "maybe"})
    with pytest.raises(ConfigError, match="CC_AVG_PRICE_CANDLES must be a whole number"):
        from_environment({"CC_AVG_PRICE_CANDLES": "5.5"})


def typos(name: str) -> list[str]:
    """The name with a letter left out, doubled, or two swapped, in the middle of it."""
    k = len(name) // 2
    return [
        name[:k] + name[k + 1 :],
        name[:k] + name[k] + name[k:],
        name[:k] + name[k + 1] + name[k] + name[k + 2 :],
    ]


@pytest.mark.parametrize("name", SETTINGS)
def test_h8u_every_misspelt_variable_is_an_error_with_a_suggestion(name):
    for typo in set(typos(name)) - set(SETTINGS):
        with pytest.raises(ConfigError, match=f"unknown variable CC_{typo.upper()}; did you mean CC_{name.upper()}?"):
            from_environment({f"CC_{typo.upper()}": "1"})
        with pytest.raises(ConfigError, match=f"did you mean .*'{name}'"):
            changed(Settings(), **{typo: 1})


@pytest.mark.parametrize(
    "variable",
    ["CC_MONGO_CONNECTION_STRING", "CC_REDIS_HOST", "CC_x86_64_linux_gnu", "CC", "CC_FOR_BUILD", "CC_"],
)
def test_variables_of_others_are_let_through(variable):
    assert from_environment({variable: "x"}) == Settings()


def test_the_strategy_folder_goes_over_the_project_and_the_environment_over_both(tmp_path):
    project, strategy = tmp_path / "project", tmp_path / "strategy"
    project.mkdir()
    strategy.mkdir()
    (project / ".env").write_text("A=project\nB=project\nC=project\n# no\nCC_FEE_PERCENT='0.2'\n")
    (strategy / ".env").write_text("B=strategy\nC=strategy\nEMPTY\n")
    before = dict(os.environ)
    found = load_environment(project, strategy, {"C": "real"})
    assert found == {"A": "project", "B": "strategy", "C": "real", "CC_FEE_PERCENT": "0.2"}
    assert dict(os.environ) == before


def test_folders_without_an_env_file_leave_the_real_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKTEST_KIT_TEST", "here")
    assert load_environment(tmp_path) == dict(os.environ)


def test_an_env_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\n")
    with pytest.raises(ConfigError, match="\\.env cannot be read"):
        load_environment(tmp_path, environ={})


def test_only_what_differs_from_the_defaults_is_listed():
    assert differing(Settings()) == {}
    assert differing(changed(Settings(), fee_percent=0.1, on_error="continue")) == {"on_error": "continue"}
