"""Which file for which host, and desired minus observed: the plan."""
