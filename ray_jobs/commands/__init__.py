"""The commands, one file each: a thin layer of options over a function of another room."""
