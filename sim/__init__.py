"""A discrete-event simulator of multi-version replica pools."""
