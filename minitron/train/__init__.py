"""The training loop with its optimizers, schedules, precision, loss, metrics and exact checkpoints.

Knows nothing about stages and where rows come from.
"""
