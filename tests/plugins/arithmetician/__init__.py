"""A package that extends the harness from outside: one small module for each kind of thing."""
