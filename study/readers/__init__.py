"""Files of other programs: one file a format, each with functions that give labels, speech or features."""
