"""A small course made of the corpus, to try, to measure and to show grading on."""
