# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "url" {
  description = "What images are named, without their own name: `Deploy(registry=…)`."
  value       = "${google_artifact_registry_repository.this.location}-docker.pkg.dev/${google_artifact_registry_repository.this.project}/${google_artifact_registry_repository.this.repository_id}"
}

output "repository" {
  description = "The repository, for who may push."
  value       = google_artifact_registry_repository.this.repository_id
}
