output "written" {
  description = "{workload: the version of its secret}."
  value       = module.values.written
}
