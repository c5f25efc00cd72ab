# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "provider" {
  description = "What `google-github-actions/auth` is told as workload_identity_provider."
  value       = google_iam_workload_identity_pool_provider.github.name
}

output "service_account" {
  description = "What it is told as service_account."
  value       = google_service_account.push.email
}
