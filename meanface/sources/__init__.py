"""Where photos come from: archives, folders and downloads."""
