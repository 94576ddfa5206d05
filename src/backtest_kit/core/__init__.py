"""The centre: what trading means. Pure functions of values; no clock, no file, no network, no chance, no `await`."""
