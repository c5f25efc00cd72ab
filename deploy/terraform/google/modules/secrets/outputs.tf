# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "names" {
  description = "{workload: its secret's name}."
  value       = { for workload in keys(var.workloads) : workload => google_secret_manager_secret.this[workload].secret_id }
}
