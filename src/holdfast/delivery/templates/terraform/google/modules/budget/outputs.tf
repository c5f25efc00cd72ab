output "name" {
  description = "The budget."
  value       = google_billing_budget.this.display_name
}
