"""Learning platforms: hand-ins from Canvas, Moodle, GitHub Classroom and nbgrader's exchange, and
grades back to them.

Each module plugs into nbgrader; ``nbgrader_config.py`` names them.
"""
