"""Training: makes the model that :mod:`model_server` serves. One stage, one file; LOG.md has the runs, failures too."""
