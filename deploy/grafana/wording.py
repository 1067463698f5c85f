"""Words and colours that several dashboards share."""

DECISION_COLOURS = {"approve": "green", "review": "orange", "decline": "red"}
