"""Is the host, and is the cluster, ready? One pure function for each question."""
