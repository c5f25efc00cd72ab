# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "host" {
  description = "Where the server is."
  value       = aws_db_instance.this.address
}

output "administrator" {
  description = "The secret of the role that makes the roles of services."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "protected" {
  description = "Whether the server survives a slip of the hand, and the loss of its zone."
  value = {
    deletion  = aws_db_instance.this.deletion_protection
    zone      = aws_db_instance.this.multi_az
    kept_days = aws_db_instance.this.backup_retention_period
  }
}
