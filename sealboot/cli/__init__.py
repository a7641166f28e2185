"""The command line: parse, call, choose a renderer, exit."""
