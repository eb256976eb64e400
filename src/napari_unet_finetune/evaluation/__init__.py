"""How good a model is: scores, the study, its figures."""
