"""What each distribution needs, as readable steps. A driver never sees a session."""
