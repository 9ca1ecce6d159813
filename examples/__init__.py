"""What comes with the project to try it, and is not shipped with it."""
