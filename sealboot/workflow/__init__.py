"""The story as functions: survey, match, check, plan, apply. What the commands call."""
