"""Say what a run found about privacy, licences and leaks, and whether it may pass."""
