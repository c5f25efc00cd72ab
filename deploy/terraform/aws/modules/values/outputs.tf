# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "written" {
  description = "{workload: the version of its secret}."
  value       = { for name, version in aws_secretsmanager_secret_version.workload : name => version.version_id }
}
