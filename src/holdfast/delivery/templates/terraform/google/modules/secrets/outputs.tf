output "names" {
  description = "{workload: its secret's name}."
  value       = { for workload in keys(var.workloads) : workload => google_secret_manager_secret.this[workload].secret_id }
}
