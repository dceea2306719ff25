"""The commands beside the three stages: thin, as those of `cli`, which collects them."""
