# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "name" {
  description = "The budget."
  value       = google_billing_budget.this.display_name
}
