"""From a judge's reply to a verdict, or to the reason why there is none."""
