"""The command line: parse, call, choose a renderer, exit."""


def main() -> None:
    """The entry point of the `sealboot` command."""
    import gc

    # Imports make some hundred thousand objects that stay: looking through them again and again
    # for garbage costs a tenth of the start.
    gc.set_threshold(100_000, 10, 10)
    from sealboot.cli.app import main as run

    run()
