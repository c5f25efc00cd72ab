# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "state_bucket" {
  description = "For `terraform init -backend-config=bucket=` of each environment."
  value       = module.state.bucket
}

output "registry" {
  description = "What images are named, without their own name: `Deploy(registry=…)`."
  value       = module.registry.url
}

output "workload_identity_provider" {
  description = "What `google-github-actions/auth` is told."
  value       = module.pipeline.provider
}

output "push_account" {
  description = "What it is told as service_account."
  value       = module.pipeline.service_account
}
