"""Bring up a cluster over SSH on machines whose processors differ.

The story, left to right: an inventory becomes hosts, hosts become facts, files
become artifacts; `fit` decides what each kernel will do with each file, a
driver turns all of it into a plan, and the engine (the only writer) runs it.
"""

__version__ = "0.1.0"
