"""What a completion is worth: kind "reward" of the catalog, each a class whose fields are its options."""
