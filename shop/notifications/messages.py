"""What notifications offers to the others: nothing; it only listens."""
