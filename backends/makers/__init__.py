"""Makers: records in, better or other records out, through a model or by rule, with every loss counted."""
