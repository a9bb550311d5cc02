"""The doctor: tries what the app needs with the settings of the environment, and names the command that fixes a problem.

``python -m doctor`` prints what it finds and exits with 1 if anything is wrong. Nothing is changed, except that a document
with an id of the doctor's own is written to each container and deleted again.
"""
