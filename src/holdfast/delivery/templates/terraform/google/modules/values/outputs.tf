output "written" {
  description = "{workload: the version of its secret}."
  value       = { for name, version in google_secret_manager_secret_version.workload : name => version.version }
}
