"""The learning curve: counts of annotated images times seeds."""
