output "state_bucket" {
  description = "For `terraform init -backend-config=bucket=` of each environment."
  value       = module.state.bucket
}

output "registry" {
  description = "What images are named, without a tag; all before the last / is `Deploy(registry=…)`."
  value       = module.registry.url
}

output "push_role" {
  description = "The variable AWS_ROLE of the repository on GitHub."
  value       = module.pipeline.role
}
