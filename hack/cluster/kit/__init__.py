"""The local cluster kit: a real Kubernetes cluster of one or two nodes on this machine.

Standard library only: the kit runs before any virtual environment exists.
"""
