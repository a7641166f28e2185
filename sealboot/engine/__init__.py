"""The only room that changes hosts: lock, journal, upload, run, verify, resume, roll back."""
