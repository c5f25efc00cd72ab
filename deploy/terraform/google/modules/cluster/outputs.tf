# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "name" {
  description = "The cluster, for `gcloud container clusters get-credentials --dns-endpoint`."
  value       = google_container_cluster.this.name
}

output "workload_pool" {
  description = "Where its service accounts are principals."
  value       = google_container_cluster.this.workload_identity_config[0].workload_pool
}
