"""Arena-Hard: prompt, labels, files, score and style control."""
