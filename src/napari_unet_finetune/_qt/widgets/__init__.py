"""Widgets that know nothing of this product."""
