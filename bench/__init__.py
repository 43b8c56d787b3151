"""Longshore measured beside its floors, on the machine and in the minute of the run."""
