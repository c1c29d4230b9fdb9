"""Root code: standard library only. Forks declared containers, owns their cgroups."""
