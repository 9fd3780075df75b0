"""What authors test a method with: models that follow rules, and the rules of a method."""
