"""The engine of Memory Reinforcement Learning for Reactive Transformers, with its contracts and its command line."""

import os

# Ray reads these when it is imported first, which a plug-in may do.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")  # Ray's handler would end the process at SIGTERM
