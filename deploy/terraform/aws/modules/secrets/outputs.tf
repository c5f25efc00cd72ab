# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "names" {
  description = "{workload: its secret's name}."
  value       = { for workload, secret in aws_secretsmanager_secret.workload : workload => secret.name }
}

output "readable" {
  description = "ARNs of all secrets that the cluster can read."
  value       = local.readable
}
