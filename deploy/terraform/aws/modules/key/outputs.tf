# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "arn" {
  description = "The key."
  value       = aws_kms_key.this.arn
}
