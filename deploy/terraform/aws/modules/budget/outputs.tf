# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "name" {
  description = "The budget."
  value       = aws_budgets_budget.this.name
}
