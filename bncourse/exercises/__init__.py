"""The graded exercises: one module per problem set, each with a tuple ``EXERCISES``."""
