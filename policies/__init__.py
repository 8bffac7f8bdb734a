"""The contract between a world and a scaling policy, queueing theory, and the policies."""
