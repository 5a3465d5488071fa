"""A study: its arms and trials, and who runs what next."""
