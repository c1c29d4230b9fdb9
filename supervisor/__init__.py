"""A container supervisor for one Linux host.

The rooms, each importing only from those below it (held by import-linter):

    cli         what a person types: arguments, tables
    daemon      composition root of the unprivileged half; the only file that knows every room
    api         HTTP + JSON over a Unix socket: schema, handlers, server, client
    supervise   trio tasks that obey core: one inbox and one crash boundary a container
    launcher    the unprivileged side of the helper's socket; lowers specs to launch requests
    monitor     cpu.stat at an interval, cgroup.events and memory.events as events
    logs        FIFO → JSON records in segments, and back out
    config      TOML → frozen specs; every problem at once
    helper      ROOT, standard library only: forks containers, owns their cgroups
    kernel      thin words for system calls and /sys
    core        pure: specs, lifecycle machine, restart policy
    errors      by who must act

This module stays empty of imports: the privileged helper imports it.
"""

__version__ = "0.1.0"
