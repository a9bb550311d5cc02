"""The channel of Teams and Bot Service: activities come in, turns run, activities go out.

Nothing of it is imported while no bot is configured. It knows no HTTP framework; its route is ``api/activities.py``.
"""
