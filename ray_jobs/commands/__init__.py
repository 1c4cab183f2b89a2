"""Define the commands, one file each: thin layers of options over functions of other rooms."""
