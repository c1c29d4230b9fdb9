"""What the kernel says of a container: cpu.stat sampled, cgroup.events awaited."""
