"""The only room that talks SSH: a session is two methods wide, `run` and `put`."""
