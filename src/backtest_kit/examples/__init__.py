"""Two strategies to read, run and change. `backtest-kit demo` plays both; neither is meant to earn money."""
