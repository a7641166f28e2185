"""The catalogue of codes: one page for each, which is also what `sealboot explain` shows."""

from sealboot.diagnostics.catalogue import Page, codes, name_of, page

__all__ = ["Page", "codes", "name_of", "page"]
