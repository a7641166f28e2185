"""Bytes become artifacts.

Pure, bounded and importable alone: a hostile file yields a value, never an exception.
"""
