output "url" {
  description = "The repository of images, without a tag."
  value       = aws_ecr_repository.this.repository_url
}

output "arn" {
  description = "The repository, for who may push."
  value       = aws_ecr_repository.this.arn
}
