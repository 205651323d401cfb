"""What a model is worth: held-out loss, checked answers, failure rates, intervals, the report.

Knows nothing about training and alignment.
"""
