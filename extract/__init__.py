"""Stage one: videos in, one row of features every `step_sec` seconds out."""
