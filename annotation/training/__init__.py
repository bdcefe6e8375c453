"""Training runs: queueing them, doing them, what each left behind, and keeping order among them.

A training run lives in the database and in one worker thread, never in a page; closing or reloading a page changes
nothing. `era.method.recipes` (and with it torch) is imported when the first run starts, so that the page is there
sooner.
"""
