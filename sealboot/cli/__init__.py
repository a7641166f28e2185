"""The command line: parse, call, choose a renderer, exit."""


def main() -> None:
    """The entry point of the `sealboot` command."""
    from sealboot.cli.app import main as run

    run()
