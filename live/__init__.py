"""The policies on a real cluster."""
