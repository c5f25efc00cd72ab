output "bucket" {
  description = "What `-backend-config=bucket=` is told."
  value       = aws_s3_bucket.this.bucket
}
