# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "url" {
  description = "The repository of images, without a tag."
  value       = aws_ecr_repository.this.repository_url
}

output "arn" {
  description = "The repository, for who may push."
  value       = aws_ecr_repository.this.arn
}
