output "bucket" {
  description = "What `-backend-config=bucket=` is told."
  value       = google_storage_bucket.this.name
}
