"""The only room that prints: one emitter for each format, and the one gate for remote text."""
