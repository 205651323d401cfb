"""Makes what people send to friends from a bundle: programs for six systems, a folder with them, one HTML file.

`go` builds the programs, and the other modules finish them. Knows nothing about how a model is trained.
"""
