"""From a bundle to what one sends to friends: programs for six systems, a folder with them, one HTML file.

`go` builds; the others finish what it built. Knows nothing about how a model is trained.
"""
