"""The plots of a study, one module for each kind."""
