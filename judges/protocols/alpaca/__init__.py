"""AlpacaEval: prompt, baseline data, files and the length-controlled score."""
