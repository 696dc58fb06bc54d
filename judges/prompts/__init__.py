"""From a rubric file to the messages that a judge gets: loading, checking, rendering, fencing, the reply's schema."""
