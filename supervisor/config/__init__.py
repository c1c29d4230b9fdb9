"""TOML → specs: what the operator wrote becomes frozen values, or every problem in it at once.

Data flows one way: load (files) → positions (lines) → parse (tables, defaults, replicas) → the nouns
(container, mounts, cgroup, restart, probes, settings, groups) → supervisor.core.spec.

Laws: every key lives in exactly one table of `Key`s, from which parser, hints and JSON Schema are read;
a wrong value becomes a Problem and never stops the reading of its neighbours; nothing here writes.
"""
