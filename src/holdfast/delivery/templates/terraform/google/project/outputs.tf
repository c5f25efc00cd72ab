output "state_bucket" {
  description = "For `terraform init -backend-config=bucket=` of each environment."
  value       = module.state.bucket
}

output "registry" {
  description = "What images are named, without their own name: `Deploy(registry=…)`."
  value       = module.registry.url
}

output "workload_identity_provider" {
  description = "The variable GOOGLE_IDENTITY_PROVIDER of the repository on GitHub."
  value       = module.pipeline.provider
}

output "push_account" {
  description = "The variable GOOGLE_SERVICE_ACCOUNT of the repository on GitHub."
  value       = module.pipeline.service_account
}
