"""The only room that changes hosts: locks, journal, uploads, steps, waves, rollback."""
