"""The configuration: typed, checked, turned into settings and back into a command."""
