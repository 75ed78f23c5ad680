"""Hyperloader in other people's tools; each module needs only the tool that it is named after."""
