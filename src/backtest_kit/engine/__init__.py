"""The shell: where time passes, user code runs and orders leave. The rules of trading are in `core`."""
