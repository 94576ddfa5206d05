"""For tests, ours and our users': simulated worlds, and the suites that an implementation of a port must pass."""
