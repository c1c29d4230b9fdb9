"""Whether containers are ready, well and alive, as they are asked and as they say it."""
