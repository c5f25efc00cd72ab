# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "bucket" {
  description = "What `-backend-config=bucket=` is told."
  value       = google_storage_bucket.this.name
}
