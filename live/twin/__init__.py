"""A small cluster in this process: what the demo runs against and the tests prove the daemon with."""
