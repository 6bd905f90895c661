"""Which stage feeds which, the config, the runner and the command line."""
