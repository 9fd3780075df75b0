"""Tools of an author's tests: models that follow rules, and the rules of a method."""
