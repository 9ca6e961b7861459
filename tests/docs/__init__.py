"""What README and docs/ say is true: what is generated is up to date, what is typed works, links lead somewhere."""
