"""Inventory text becomes frozen, validated values, each with the place it was written at."""
