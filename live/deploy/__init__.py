"""How the daemon comes into a cluster: a Helm chart, and the same chart written out without Helm."""
