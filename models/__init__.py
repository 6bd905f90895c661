"""Families, tasks and what joins them into a Keras model. Knows no Beam, no config file, no artifact."""
