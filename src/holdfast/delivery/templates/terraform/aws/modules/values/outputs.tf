output "written" {
  description = "{workload: the version of its secret}."
  value       = { for name, version in aws_secretsmanager_secret_version.workload : name => version.version_id }
}
