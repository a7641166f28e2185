"""One round trip for each host: a POSIX script in, a transcript out, a pure parser makes facts."""
