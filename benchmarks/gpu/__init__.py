"""`make gpu`: the first measurements on a GPU, as one script of parts."""
