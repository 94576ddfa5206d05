"""The version of the package, as reports and `--version` state it."""

__version__ = "0.1.0"
