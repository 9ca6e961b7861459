"""What the benchmarks compare with: real programs, and code as a competent user would write it without us."""
