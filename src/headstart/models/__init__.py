"""Networks and estimators, with their weights."""
