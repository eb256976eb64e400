"""Finetuning from the dock."""
