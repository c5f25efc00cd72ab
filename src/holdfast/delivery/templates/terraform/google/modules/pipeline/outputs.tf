output "provider" {
  description = "What `google-github-actions/auth` is told as workload_identity_provider."
  value       = google_iam_workload_identity_pool_provider.github.name
}

output "service_account" {
  description = "What it is told as service_account."
  value       = google_service_account.push.email
}
