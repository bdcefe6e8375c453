"""The method as commands over files, for engineers and pipelines: `python -m era`.

Answers go to standard output, everything else to standard error. No database and no environment variable is read.
"""
