"""`python -m sealboot`."""

from sealboot.cli import main

main()
