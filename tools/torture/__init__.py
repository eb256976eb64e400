"""Hostile files and injected faults in numbers: each ends as it should, or in one true sentence."""
