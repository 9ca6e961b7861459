"""What users type: the `pixdepot` command."""
