"""Models over models: several requests to one or more models make one answer (docs/design/0009-models-over-models.md).

Each is an engine of the catalog like any other, one module with `build(rest, options)`, whose class is a `System`.
"""
