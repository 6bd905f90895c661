"""`python -m pipeline` is the same program as `polisemia`."""

from pipeline.cli import main

main()
